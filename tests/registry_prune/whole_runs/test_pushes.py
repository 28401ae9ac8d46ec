"""The whole run beside a pusher that never stops, on real registries: nothing is accepted while a pruner lives.

With the pods' real timings (preStop 25 s, grace 55 s) it is `make slow`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.real_registry.pusher import Upload
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import PROJECT, kubectl
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag
from tests.sandbox.real_registry.registry_tools import Skopeo

pytestmark = [
    pytest.mark.usefixtures("airflow_database"),
    pytest.mark.skipif(
        shutil.which("docker-registry") is None or shutil.which("skopeo") is None,
        reason="docker-registry and skopeo are not installed (apt-get install docker-registry skopeo)",
    ),
]
QUICK = SandboxSettings.quick(replicas=3, nodes=5, real_registry=True)
REAL = SandboxSettings.real(replicas=3, nodes=5, real_registry=True)


@pytest.fixture(params=[pytest.param(QUICK, id="quick"), pytest.param(REAL, id="real", marks=pytest.mark.slow)])
def serving(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Three registries that serve, with images and orphans, and the run's connection to them."""
    with Sandbox(tmp_path / "sandbox", request.param) as sandbox:
        sandbox.seed(SeedPlan(images=30, orphans=300))
        kubectl(sandbox.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
        account = sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
        monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))
        yield sandbox


@pytest.mark.timeout(1200)
def test_no_push_is_accepted_while_a_pruner_deletes_and_every_accepted_image_can_be_pulled(
    serving: Sandbox, caplog: Any, tmp_path: Path
) -> None:
    serving.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.01))
    with serving.pusher(interval=0.2) as pusher:
        run = run_dag(caplog, conf={"min_blobs": 10, "base_prune": False})
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    deletes = [line for line in serving.pruner_journal() if line.get("mode") == "delete"]
    assert len(deletes) == 1
    assert pusher.accepted_while(serving.pruner_journal()) == []
    refused = [upload for upload in pusher.uploads if upload.status == 405]
    assert refused, "the pusher never met a read-only registry: it shows nothing"
    began = deletes[0]["time"]
    assert any(upload.ended_at < began for upload in pusher.accepted)
    assert any(upload.started_at > began for upload in pusher.accepted)
    verified = serving.verify()
    assert verified.ok, verified.problems
    pull_all(pusher.accepted, serving, tmp_path)


def pull_all(uploads: list[Upload], sandbox: Sandbox, folder: Path) -> None:
    """Every image that was ever accepted is whole: skopeo checks each digest."""
    (folder / "skopeo").mkdir()
    skopeo = Skopeo(folder / "skopeo")
    address = next(iter(sandbox.registry_addresses().values()))
    for number, upload in enumerate(uploads):
        skopeo.pull(f"{address}/{upload.repository}@{upload.digest}", folder / f"image-{number}")
        shutil.rmtree(folder / f"image-{number}")
