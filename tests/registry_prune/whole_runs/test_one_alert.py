"""What somebody is told of trouble in mid-window: one alert that says what is known and what to do, long before the
limits of the steps.

No task is tried again here, so the first try of a step is its last."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster import registry_state, settling
from include.registry_prune.report.report import RunReport
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.in_window import DryRun, SetReadOnly
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import PROJECT, kubectl, start_sandbox
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
AT_ONCE = {"base_prune": False, "survey": False, "integrity_check": False, "min_blobs": 10}
LIMIT = "3h"
"""Whoever waited for it would never come to the end of a test."""


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def before(monkeypatch: pytest.MonkeyPatch, task: type[Any], happens: Callable[[], object]) -> None:
    """Something happens right before the work of this task."""
    work = task.work

    def work_after_it(step: Any, run: Run) -> Any:
        happens()
        return work(step, run)

    monkeypatch.setattr(task, "work", work_after_it)


def alerts(run: Ended) -> list[str]:
    """The alerts of a run, in their order: kind and text; without those that tell of every window. In a run like this
    an alert about the run itself has no API from which to read the report that it begins with."""
    told = re.findall(r" ALERT (.*?)(?=\n\S+ +\S+:\S+:\d+ |\Z)", run.log, flags=re.DOTALL)
    report = RunReport.from_json(run.report).text()
    of_every_window = ("read-only: ", "read-write: ")
    return [
        each.replace("Hard prune of default: no report", report)
        for each in told
        if not each.startswith(of_every_window)
    ]


def test_an_operator_that_stops_in_the_window(seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "OPERATOR_SECONDS", 1.0)
    before(monkeypatch, SetReadOnly, seeded.stop_operator)
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT)
    assert run.tasks["restore_read_write"] == "success"
    (alert,) = alerts(run)
    assert alert.startswith("run failed: ")
    assert "The registry's operator does not answer: Config cluster took spec.readOnly: true" in alert
    assert "No pod became read-only. Look at Deployment cluster-image-registry-operator" in alert


def test_a_node_that_is_lost_with_a_pod_that_takes_pushes(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the end of the wait: the pod does not go by itself, and may take pushes as long as it lives."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    lost, *_ = seeded.registry_pods()
    before(monkeypatch, SetReadOnly, lambda: seeded.lose_node(lost["spec"]["nodeName"]))
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT)
    assert run.tasks["set_read_only"] == "failed"
    assert run.tasks["restore_read_write"] == "success"
    (alert,) = alerts(run)
    assert alert.startswith("run failed: ")
    assert f"pod {lost['metadata']['name']} should be gone for long, and its node does not answer" in alert
    assert "Look at `oc get nodes`" in alert
    assert not [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Sandbox]:
    """Another cluster with the project's account."""
    with start_sandbox(tmp_path / "elsewhere") as other:
        other.set_cluster_id("00000000-0000-4000-8000-000000000002")
        kubectl(other.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
        yield other


def test_a_connection_that_is_pointed_elsewhere_in_the_window(
    seeded: Sandbox, elsewhere: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first failed try of closing is told at once, and the run's end when it has come."""
    account = elsewhere.service_account_kubeconfig("registry-prune", "registry-prune")
    before(monkeypatch, DryRun, lambda: monkeypatch.setenv(CONNECTION_VARIABLE, connection(account)))
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT)
    at_once, at_the_end = alerts(run)
    assert at_once.startswith("restore failed: ")
    assert at_the_end.startswith("run failed: ")
    for alert in (at_once, at_the_end):
        assert "points to another cluster than when this run began" in alert
        assert "point the connection back" in alert
    assert elsewhere.pruner_journal() == []
