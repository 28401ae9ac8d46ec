"""What a run is asked to do, whose windows it knows, and how long it holds a lease."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from include.registry_prune.run.run_context import RUN_TOKEN, Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.window import lease_keeper
from include.registry_prune.window.lease import Holder


@pytest.mark.parametrize(
    ("run_id", "run_type", "forces"),
    [
        ("manual__now", "manual", True),
        ("scheduled__now", "scheduled", True),
        ("asset_triggered__now", "asset_triggered", False),
        ("alert__now", "manual", False),
    ],
)
def test_a_run_that_an_event_began_forces_nothing(run_id: str, run_type: str, forces: bool) -> None:
    """Guards the thresholds where nobody looks on, also where the cluster's own default is to force."""
    settings = ClusterSettings.from_mapping("default", {"parameters": {"hard_prune": "force", "min_blobs": 7}})
    asked = SimpleNamespace(dag_id="registry_prune", run_type=run_type, conf={"pass_ceilings": ["orphan_share"]})
    context: Any = {"dag_run": asked, "run_id": run_id}
    parameters = Run(context, settings).parameters
    assert (parameters.hard_prune, bool(parameters.pass_ceilings)) == (("force", True) if forces else ("auto", False))
    assert parameters.min_blobs == 7


def run_of(**context: Any) -> Run:
    played: Any = {"dag_run": SimpleNamespace(dag_id="registry_prune"), "run_id": "now", **context}
    return Run(played, ClusterSettings())


class OtherRun:
    """What Airflow tells of another run.

    :param state: of the run; None: Airflow does not know it.
    :param token: its own name; None: it has none.
    """

    def __init__(self, state: str | None, token: str | None) -> None:
        self.state, self.token = state, token

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        assert (dag_id, run_id) == ("registry_prune", "earlier")
        if self.state is None:
            raise RuntimeError("not found")
        return self.state

    def xcom_pull(self, *, task_ids: str, dag_id: str, run_id: str, key: str) -> str | None:
        assert (task_ids, dag_id, run_id, key) == ("verify_access", "registry_prune", "earlier", RUN_TOKEN)
        return self.token


@pytest.mark.parametrize(
    ("state", "token", "over"),
    [
        ("success", "a1", True),
        ("failed", "a1", True),
        ("running", "a1", False),
        ("queued", "a1", False),
        ("success", "b2", False),
        ("failed", "b2", False),
        ("success", None, False),
        ("success", "", False),
        (None, "a1", False),
    ],
)
def test_a_run_that_has_ended_is_the_holder_only_by_its_token(state: str | None, token: str | None, over: bool) -> None:
    """Guards the window of another Airflow with this schedule: its run of the same name may be at work."""
    run = run_of(ti=OtherRun(state, token))
    assert run.is_over(Holder(run="registry_prune/earlier", token="a1-window")) is over
    assert run.is_owner_over("registry_prune/earlier a1") is over


@pytest.mark.parametrize(("limit", "seconds"), [(timedelta(minutes=5), 300.0), (None, None)])
def test_a_lease_is_kept_no_longer_than_the_task_may_take(
    monkeypatch: pytest.MonkeyPatch, limit: timedelta | None, seconds: float | None
) -> None:
    """Guards the guards: a task that hangs in a call that Airflow cannot end would renew its lease for ever."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(lease_keeper, "lease_kept", lambda cluster, **rest: asked.append(rest))
    monkeypatch.setattr(Run, "cluster", SimpleNamespace())
    holder = Holder(run="registry_prune/now", token="a1-window")
    run_of(task=SimpleNamespace(execution_timeout=limit)).lease_keeper(holder)
    assert [(each["holder"], each["no_longer_than"]) for each in asked] == [(holder, seconds)]
