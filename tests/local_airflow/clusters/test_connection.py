"""``make connection``: what it prints is a connection that works, and it says when its token ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kubernetes import client, config

from local_airflow.cli import main
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import PROJECT, kubectl


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("connection") / "sandbox", SandboxSettings.quick(replicas=1)) as running:
        kubectl(running.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
        yield running


def test_the_connection_is_the_accounts_and_its_end_is_said(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    context = config.list_kube_config_contexts(str(sandbox.kubeconfig))[1]["name"]
    asked = ["connection", f"--kubeconfig={sandbox.kubeconfig}", f"--context={context}", "--duration=48h"]
    assert main(asked) == 0
    printed = capsys.readouterr()
    connection = json.loads(printed.out)
    assert connection["conn_type"] == "kubernetes"
    api = config.new_client_from_config_dict(connection["extra"]["kube_config"])
    me = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert me.status.user_info.username == "system:serviceaccount:registry-prune:registry-prune"
    ends = (datetime.now(UTC) + timedelta(hours=48)).strftime("%Y-%m-%d")
    assert f"expires at {ends}" in printed.err
    token = connection["extra"]["kube_config"]["users"][0]["user"]["token"]
    assert token not in printed.err


@pytest.mark.parametrize(
    ("options", "part"),
    [(["--context=elsewhere"], "elsewhere"), (["--namespace=nowhere"], "registry-prune")],
    ids=["no such context", "no such account"],
)
def test_what_is_wrong_is_said_and_nothing_is_printed(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], options: list[str], part: str
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["connection", f"--kubeconfig={sandbox.kubeconfig}", *options])
    printed = capsys.readouterr()
    assert (error.value.code, printed.out) == (1, "")
    assert part in printed.err
    assert "oc apply -f deploy/rbac.yaml" in printed.err


def test_make_asks_which_cluster(tmp_path: Path) -> None:
    """Nobody's current context gets a token made by accident."""
    import subprocess

    done = subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/.ready", "-C", str(PROJECT), "connection"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Which cluster? make connection CONTEXT=" in done.stderr
