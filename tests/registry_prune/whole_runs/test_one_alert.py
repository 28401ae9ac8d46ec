"""What somebody is told of trouble: one alert of each thing, which says what is known and what to do, long before the
limits of the steps.

No task is tried again here, so the first try of a step is its last. What is told of runs that end well:
``test_slices.py``; at a ceiling: ``test_whole_run.py``; by the guard: ``tasks/test_guard.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster import registry_state, settling
from include.registry_prune.deletion import follower
from include.registry_prune.pruner import processes
from include.registry_prune.report.kept_reports import keep_report
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.after_window import IntegrityAfter
from include.registry_prune.tasks.hard_prune import HardPrune
from include.registry_prune.tasks.in_window import DryRun, SetReadOnly
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.alerts.receivers import Told
from tests.registry_prune.conftest import ORPHANS, PROJECT, kubectl, start_sandbox
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
WINDOW = ["read-only, firing", "read-only, resolved", "read-write, said"]
"""What is told of each window."""
AT_ONCE = {"base_prune": False, "survey": False, "integrity_check": False, "min_blobs": 10}
LOOKS = {"base_prune": False, "integrity_check": False}
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


def test_an_operator_that_stops_in_the_window(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr(settling, "OPERATOR_SECONDS", 1.0)
    before(monkeypatch, SetReadOnly, seeded.stop_operator)
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT, **told.settings)
    assert run.tasks["restore_read_write"] == "success"
    assert "run failed: Hard prune of default, run manual__" in told.text
    assert "The registry's operator does not answer: Config cluster took spec.readOnly: true" in told.text
    assert "No pod became read-only. Look at Deployment cluster-image-registry-operator" in told.text
    assert told.alerts() == ["read-write, said", "run failed, firing"]


def test_a_node_that_is_lost_with_a_pod_that_takes_pushes(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """Guards the end of the wait: the pod does not go by itself, and may take pushes as long as it lives."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    lost, *_ = seeded.registry_pods()
    before(monkeypatch, SetReadOnly, lambda: seeded.lose_node(lost["spec"]["nodeName"]))
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT, **told.settings)
    assert run.tasks["set_read_only"] == "failed"
    assert run.tasks["restore_read_write"] == "success"
    assert f"pod {lost['metadata']['name']} should be gone for long, and its node does not answer" in told.text
    assert "Look at `oc get nodes`" in told.text
    assert told.alerts() == ["read-write, said", "run failed, firing"]
    assert not [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]


def node_of(sandbox: Sandbox, pod: str) -> str:
    """The node of a registry pod."""
    [node] = [each["spec"]["nodeName"] for each in sandbox.registry_pods() if each["metadata"]["name"] == pod]
    return str(node)


def test_a_node_that_is_lost_with_the_pod_of_the_delete(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """The pruner may live on there, so nothing is opened, and of each step somebody is told what is known. That the
    window is not closed is told once."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(follower, "ENDED_PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(processes, "DELETED_POD_SECONDS", 1.0)
    follow, pods = HardPrune._follow, []

    def lose_node_and_follow(step: HardPrune, run: Run, delete: Any) -> Any:
        pods.append(delete.attempt.pod)
        seeded.lose_node(node_of(seeded, delete.attempt.pod))
        return follow(step, run, delete)

    monkeypatch.setattr(HardPrune, "_follow", lose_node_and_follow)
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=1.0))
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT, **told.settings)
    [pod] = pods
    assert f"the node of pod {pod} does not answer" in run.errors["hard_prune"]
    assert f"Pod {pod} could neither be searched for a pruner nor deleted" in told.text
    assert "look at the pod's node" in told.text
    assert told.alerts() == ["read-only, firing", "restore failed, firing"]
    assert (
        seeded.call(lambda inside: inside.store.get("configs.imageregistry.operator.openshift.io", "cluster"))["spec"][
            "readOnly"
        ]
        is True
    )


def test_a_node_that_is_lost_while_the_window_is_closed(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """No delete was begun in its pod: the registry takes pushes by the others, and what is left is told with what to
    do."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(processes, "DELETED_POD_SECONDS", 1.0)
    follow = HardPrune._follow

    def follow_and_lose_another(step: HardPrune, run: Run, delete: Any) -> Any:
        end = follow(step, run, delete)
        other, *_ = [
            pod["metadata"]["name"] for pod in seeded.registry_pods() if pod["metadata"]["name"] != delete.attempt.pod
        ]
        seeded.lose_node(node_of(seeded, other))
        return end

    monkeypatch.setattr(HardPrune, "_follow", follow_and_lose_another)
    run = run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT, **told.settings)
    assert run.tasks["restore_read_write"] == "success", run.errors
    assert "its node does not answer, so nobody can look for a pruner in it: look at `oc get nodes`" in told.text
    assert told.alerts() == sorted([*WINDOW, "run failed, firing"])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Sandbox]:
    """Another cluster with the project's account."""
    with start_sandbox(tmp_path / "elsewhere") as other:
        other.set_cluster_id("00000000-0000-4000-8000-000000000002")
        kubectl(other.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
        yield other


def test_a_connection_that_is_pointed_elsewhere_in_the_window(
    seeded: Sandbox, elsewhere: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """That the window cannot be closed is told at once, and that is all."""
    account = elsewhere.service_account_kubeconfig("registry-prune", "registry-prune")
    before(monkeypatch, DryRun, lambda: monkeypatch.setenv(CONNECTION_VARIABLE, connection(account)))
    run_dag(caplog, conf=AT_ONCE, settle_limit=LIMIT, **told.settings)
    for alert in told.receiver.bodies[1:]:
        assert "points to another cluster than when this run began" in alert["text"]
        assert "point the connection back" in alert["text"]
    assert "end every pruner first, then oc patch configs.imageregistry.operator.openshift.io/cluster" in told.text
    assert told.alerts() == ["read-only, firing", "restore failed, firing"]
    assert elsewhere.pruner_journal() == []


def test_a_delete_that_works_on_what_an_image_names(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """Images have lost their media type since the gate looked: the pruner takes their configs."""
    before(monkeypatch, HardPrune, lambda: seeded.forget_media_types(8))
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.2))
    run_dag(caplog, conf=AT_ONCE, **told.settings)
    assert "image lost: " in told.text
    assert "push or import that image again" in told.text
    # One incident: at once, and brought up to date when reconcile has held all that was deleted against the Images.
    assert told.alerts() == sorted([*WINDOW, "image lost, firing", "image lost, firing"])
    assert seeded.verify().orphans_left > 0, "it was ended at once"


def test_an_image_that_is_broken_after_the_delete(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    name = f"sha256:{7:064x}"
    image = {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": name, "annotations": {"openshift.io/image.managed": "true"}},
    }
    before(
        monkeypatch,
        IntegrityAfter,
        lambda: seeded.call(lambda inside: inside.store.create("images.image.openshift.io", image)),
    )
    run_dag(caplog, conf={**AT_ONCE, "integrity_check": True}, **told.settings)
    assert "images broken: IMAGES ARE BROKEN THAT WERE WHOLE BEFORE THIS RUN. Push or import them again" in told.text
    assert f'Broken image "{name}"' in told.text
    assert told.alerts() == sorted([*WINDOW, "images broken, firing"])


def test_a_delete_whose_end_nobody_saw(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    """A person has marked its task: Airflow calls the run good, and nothing else would tell anybody."""
    monkeypatch.setattr(HardPrune, "_conclude", lambda *_: None)
    run = run_dag(caplog, conf=AT_ONCE, **told.settings)
    assert run.state == "success", run.errors
    assert "the lease says that a delete began at " in told.text
    assert told.alerts() == sorted([*WINDOW, "end not known, firing"])


def test_a_backlog_that_never_shrinks(seeded: Sandbox, caplog: Any, told: Told, tmp_path: Path) -> None:
    """A window ends it that deletes what is there."""
    for day in range(1, 5):
        left = RunReport(
            run_id=f"day {day}", dag_id="registry_prune", run_after=datetime(2026, 1, day, tzinfo=UTC),
            cluster="default", outcome=Outcome.POSTPONED, orphaned_blobs=ORPHANS,
        )  # fmt: skip
        keep_report(left, tmp_path.as_uri())
    settings = {**told.settings, "artifacts": tmp_path.as_uri(), "parameters": {"min_blobs": 10}}
    run_dag(caplog, conf={**LOOKS, "hard_prune": "never"}, **settings)
    assert f"{ORPHANS} blobs then, {ORPHANS} blobs now" in told.text
    assert told.alerts() == ["backlog, firing", "skipped, said"]
    run_dag(caplog, conf=LOOKS, **settings)
    assert told.alerts() == sorted(["backlog, resolved", *WINDOW, "pruned, said"])
