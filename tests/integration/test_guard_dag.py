"""The DAG registry_guard against the sandbox."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster import Cluster
from include.registry_prune.guard import Found, guard
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.integration.test_guard import HOLDER, assert_as_before, leave_window_open, never
from tests.integration.test_window import LIMITS
from tests.integration.whole_run import CONNECTION_VARIABLE, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def run_guard(caplog: Any) -> str:
    from dags.registry_guard import build_guard
    from include.registry_prune.settings import ClusterSettings

    caplog.set_level(logging.INFO)
    return str(build_guard(ClusterSettings()).test().state)


def test_the_dag_closes_the_window_of_a_run_that_is_gone_and_says_so(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    leave_window_open(cluster)
    assert run_guard(caplog) == "success"
    assert f"ALERT guard: The guard closed the window of {HOLDER}" in caplog.text
    assert_as_before(seeded)


def test_a_quiet_round_alerts_nobody(sandbox: Sandbox, caplog: Any) -> None:
    assert run_guard(caplog) == "success"
    assert "ALERT" not in caplog.text
    assert_as_before(sandbox)


def test_a_guard_that_cannot_reach_the_cluster_fails_and_alerts(
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.write_text(sandbox.kubeconfig.read_text().replace(sandbox.url, "https://127.0.0.1:1"))
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(gone))
    assert run_guard(caplog) == "failed"
    assert "ALERT guard: The guard could not look after the registry of cluster default" in caplog.text


def test_a_run_keeps_its_window_as_long_as_it_works_however_short_its_lease(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """Guards the renewal: the delete takes longer than the lease lasts, and a guard looks all the time."""
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.2))
    seen: set[Found] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.add(guard(cluster, limits=LIMITS, run_is_over=never).found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        run = run_dag(caplog, conf={"min_blobs": 10, "base_prune": False}, lease="8s")
    finally:
        ended.set()
        thread.join()
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    assert seen == {Found.NOTHING, Found.AT_WORK}
    assert_as_before(seeded)
