"""The project against the sandbox: a cluster over HTTP, and the account of deploy/rbac.yaml to work with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from kubernetes import client, config

from include.registry_prune.cluster.cluster import Cluster
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.alerts.receivers import Told, http_receiver

PROJECT = Path(__file__).parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"
IMAGES, ORPHANS = 12, 60

# The same examples in every run, and bounded by their number, not by the speed of the machine: a test that fails is
# no accident. To search further: pytest tests/registry_prune --hypothesis-profile=search.
settings.register_profile("unit", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("search", max_examples=3000, deadline=None)
settings.register_profile("fuzz", max_examples=8_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    """Runs kubectl; a failure fails the test with what it printed."""
    done = subprocess.run(
        [KUBECTL, f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent}/kubectl-cache", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_sandbox(folder: Path) -> Sandbox:
    """A quick sandbox with two registry pods, to be used as a context manager; nobody pushes to them."""
    return Sandbox(folder, SandboxSettings.quick(replicas=2, real_registry=False))


@pytest.fixture(autouse=True)
def no_earlier_runs(request: pytest.FixtureRequest) -> None:
    """Each test's runs are the first ones of their cluster: runs remember earlier ones."""
    if "airflow_database" in request.fixturenames:
        request.getfixturevalue("airflow_database")
        from airflow.configuration import AIRFLOW_HOME
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(AssetEvent).delete()
        for kept in ("reports", "alerts"):
            shutil.rmtree(Path(AIRFLOW_HOME) / "registry-prune" / kept, ignore_errors=True)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def seeded(sandbox: Sandbox) -> Sandbox:
    """A sandbox with images, and orphans from every cause."""
    sandbox.seed(SeedPlan(images=IMAGES, orphans=ORPHANS))
    return sandbox


@pytest.fixture
def account(sandbox: Sandbox) -> Path:
    """Kubeconfig of the account that deploy/rbac.yaml makes: it may do what the documentation says, and no more."""
    sandbox.create_objects(PROJECT / "deploy" / "rbac.yaml")
    return sandbox.service_account_kubeconfig("registry-prune", "registry-prune")


@pytest.fixture
def connect() -> Callable[[Path], Cluster]:
    """Makes a :class:`Cluster` from a kubeconfig."""

    def make(kubeconfig: Path) -> Cluster:
        return Cluster(config.new_client_from_config(str(kubeconfig)))

    return make


@pytest.fixture
def cluster(account: Path, connect: Callable[[Path], Cluster]) -> Cluster:
    """The sandbox as the project sees it, with the documented rights."""
    return connect(account)


@pytest.fixture
def admin(sandbox: Sandbox) -> client.ApiClient:
    """What an administrator does meanwhile."""
    return config.new_client_from_config(str(sandbox.kubeconfig))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Who is told of everything, over HTTP."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_receiver() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_TOLD", f"http://127.0.0.1:{receiver.server_port}")
        yield Told(receiver)
