"""The steps that end a run: what they leave to others, what they call left behind, and what the report is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from include.registry_prune.cluster.registry_state import PodsSeen, RegistryState
from include.registry_prune.cluster.role import Grant
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.report import building
from include.registry_prune.report.facts import Facts
from include.registry_prune.run.run_context import Run
from include.registry_prune.run.tries import EARLIER_SECONDS
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks import after_window
from include.registry_prune.tasks.after_window import Report, RevokeImagePruner, VerifyRestored
from include.registry_prune.tasks.in_window import PODS_SEEN
from include.registry_prune.verdict.history import History
from include.registry_prune.window.lease import ANNOTATION
from tests.registry_prune.tasks.test_before_window import ANOTHER, US, Roles, grant, roles
from tests.registry_prune.tasks.test_window_binding import BegunError, PlayedContext, lease

__all__ = ["roles"]

OURS = Grant(service_account="registry", binding=OUR_BINDING, ours=True)


@pytest.mark.parametrize("handed_over", [OURS, None], ids=["granted", "not known whether granted"])
@pytest.mark.parametrize(("owner", "left"), [(US, None), (ANOTHER, ANOTHER)])
def test_a_run_takes_only_its_own_role_away(
    roles: Roles, handed_over: Grant | None, owner: str, left: str | None
) -> None:
    """Guards the other run's dry run, also where that run has taken this one for dead."""
    grant()
    roles.owner = owner
    context: Any = PlayedContext("revoke_image_pruner", {"grant_image_pruner": handed_over})
    RevokeImagePruner(task_id="revoke_image_pruner", cluster=ClusterSettings()).execute(context)
    assert roles.owner == left


def test_a_run_does_not_end_well_beside_a_window_of_a_run_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the green run that found nothing to prune: the registry is read-only, and nobody would be told."""
    state = RegistryState(read_only=True, management_state="Managed", config_generation=1, config_observed_generation=1)
    dead = lease("another-1").renewed(datetime.now(UTC) - timedelta(seconds=1))
    config = {"metadata": {"annotations": {ANNOTATION: dead.to_annotation()}}, "spec": {"readOnly": True}}
    cluster = SimpleNamespace(registry_state=lambda: state, config=lambda: config, role_bindings=list)
    monkeypatch.setattr(Run, "cluster", cluster)
    context: Any = PlayedContext("verify_restored", {})
    with pytest.raises(AirflowException, match="the window of dag/run is not closed although its lease ran out"):
        VerifyRestored(task_id="verify_restored", cluster=ClusterSettings()).execute(context)


class EndedRun:
    """What Airflow tells of a run whose every task failed; of the second one it knows no time."""

    task_id = "report"

    def __init__(self, handed_over: dict[tuple[str, str], Any]) -> None:
        self.handed_over = handed_over
        self.seconds = {"set_read_only": 30.5, "restore_read_write": None}

    def get_task_states(self, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: dict.fromkeys(self.seconds, "failed")}

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [{"task_id": task, "duration": duration} for task, duration in self.seconds.items()]

    def xcom_pull(self, *, task_ids: str, key: str = "return_value", **_: Any) -> Any:
        return self.handed_over.get((task_ids, key))


def told_to_the_report(monkeypatch: pytest.MonkeyPatch, handed_over: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """What the report is built from."""
    told: dict[str, Any] = {}

    def build(facts: Facts, **more: Any) -> None:
        told.update(more, facts=facts)
        raise BegunError

    monkeypatch.setattr(building, "build_report", build)
    monkeypatch.setattr(after_window, "history_of", lambda run: History.of([]))
    context: Any = {
        "dag_run": SimpleNamespace(dag_id="dag", conf={}, run_type="manual"),
        "run_id": "run",
        "dag": SimpleNamespace(task_ids=["set_read_only", "restore_read_write", "report"]),
        "ti": EndedRun(handed_over),
        "task_state_store": {},
    }
    with pytest.raises(BegunError):
        Report(task_id="report", cluster=ClusterSettings()).execute(context)
    return told


def test_the_report_has_the_seconds_of_all_tries_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards its figures: Airflow knows how long the last try took, and of no other one."""
    told = told_to_the_report(monkeypatch, {("set_read_only", EARLIER_SECONDS): 720.25})
    assert told["phases"] == {"set_read_only": 750.75, "restore_read_write": 0.0}


def test_the_report_has_what_the_pods_showed_of_a_window_that_never_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the read-only time: what the patch said is no figure of what uploads met."""
    seen = PodsSeen(first_pod_at=datetime(2026, 11, 23, 3, 25, tzinfo=UTC))
    told = told_to_the_report(monkeypatch, {("set_read_only", PODS_SEEN): seen.to_json()})
    assert PodsSeen.from_json(told["facts"].pods_seen) == seen
