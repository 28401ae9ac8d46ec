"""A card for each cluster: does its registry take pushes, who says so, its last prune and its next run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session

from include.registry_prune.page.airflow_runs import GuardSeen, guard_seen, open_window, stored_runs
from include.registry_prune.page.kept import reports_of
from include.registry_prune.page.registry_now import RegistryNow, attention, registry_now
from include.registry_prune.page.rights import dag_ids, may_read
from include.registry_prune.page.view import RunView, view_runs, with_kept
from include.registry_prune.settings.clusters import BASE_DAG_ID, BASE_GUARD_DAG_ID, DEFAULT_CLUSTER, ClusterSettings

LOOKED_AT = 10
"""Runs of each cluster that a card is made of."""


@dataclass(frozen=True)
class ClusterCard:
    """One cluster at a glance.

    :param schedule: in Airflow's words; empty if it runs only by hand.
    :param next_run_at: when the next run is due, if there is a schedule and it is not paused.
    :param running: a run that is at work.
    :param last: the newest run that has ended; ``last_prune``: the newest that deleted, of the last ten.
    :param guard_dag_id: empty if the user may not see it.
    :param attention: what somebody should look at.
    :param notes: what cannot be shown, and why.
    """

    dag_id: str
    name: str
    schedule: str
    paused: bool
    registry: RegistryNow
    next_run_at: datetime | None
    running: RunView | None
    last: RunView | None
    last_prune: RunView | None
    guard_dag_id: str
    guard_looked_at: datetime | None
    guard_failing: bool
    guard_paused: bool
    attention: tuple[str, ...]
    notes: tuple[str, ...]


def cards_of(
    session: Session,
    dags: Sequence[DagModel],
    user: BaseUser,
    settings: Mapping[str, ClusterSettings] | None,
    *,
    why_none: str,
    now: datetime,
) -> list[ClusterCard]:
    """The cards of these DAGs.

    :param user: sees a guard only if he may read its DAG.
    :param settings: by DAG; None if they cannot be read, and ``why_none`` says why.
    """
    kept = reports_of(dag_ids(dags), LOOKED_AT, settings, why_none=why_none)
    guards = {dag_id: _guard_seen(session, dag_id, user, now) for dag_id in dag_ids(dags)}
    cards = []
    for dag in dags:
        runs = with_kept(stored_runs(session, dag.dag_id, count=LOOKED_AT), kept[dag.dag_id].reports, most=LOOKED_AT)
        cards.append(_card(session, dag, guards, view_runs(runs), notes=kept[dag.dag_id].damaged, now=now))
    return cards


def _card(
    session: Session,
    dag: DagModel,
    guards: Mapping[str, GuardSeen | None],
    runs: Sequence[RunView],
    *,
    notes: tuple[str, ...],
    now: datetime,
) -> ClusterCard:
    seen = guards[dag.dag_id]
    guard = seen or GuardSeen()
    window = open_window(session, dag.dag_id)
    registry = registry_now(guard.last, guard.looked_at, window, now=now)
    ended = [run for run in runs if run.tone != "busy"]
    running = next((run for run in runs if run.tone == "busy"), None)
    due_at = None if dag.is_paused else dag.next_dagrun_create_after
    return ClusterCard(
        dag_id=dag.dag_id,
        name=cluster_name(dag.dag_id),
        schedule=dag.timetable_description or dag.timetable_summary or "",
        paused=bool(dag.is_paused),
        registry=registry,
        next_run_at=due_at,
        running=running,
        last=ended[0] if ended else None,
        last_prune=next((run for run in ended if run.tone == "good"), None),
        guard_dag_id=_guard_of(dag.dag_id) if seen is not None else "",
        guard_looked_at=guard.looked_at,
        guard_failing=guard.failing,
        guard_paused=guard.paused,
        attention=attention(
            registry,
            guard_looked_at=guard.looked_at,
            guard_paused=guard.paused,
            paused=bool(dag.is_paused),
            failed_in_a_row=_count(takewhile(lambda run: run.tone == "bad", ended)),
            due_at=None if running else due_at,
            same_cluster=_same_cluster(dag.dag_id, guards),
            now=now,
        ),
        notes=notes,
    )


def cluster_name(dag_id: str) -> str:
    """Of the cluster with this DAG."""
    return dag_id.removeprefix(f"{BASE_DAG_ID}_") if dag_id != BASE_DAG_ID else DEFAULT_CLUSTER


def _guard_seen(session: Session, dag_id: str, user: BaseUser, now: datetime) -> GuardSeen | None:
    """What is known of the guard of this DAG's cluster; None if the user may not see it."""
    guard_dag_id = _guard_of(dag_id)
    return guard_seen(session, guard_dag_id, now=now) if may_read(user, guard_dag_id) else None


def _same_cluster(dag_id: str, guards: Mapping[str, GuardSeen | None]) -> list[str]:
    """The other entries that reach the cluster of this one."""
    ids = {each: seen.last.cluster_id for each, seen in guards.items() if seen and seen.last}
    here = ids.get(dag_id)
    return [cluster_name(each) for each, there in ids.items() if here and there == here and each != dag_id]


def _guard_of(dag_id: str) -> str:
    return BASE_GUARD_DAG_ID + dag_id.removeprefix(BASE_DAG_ID)


def _count(runs: Iterable[RunView]) -> int:
    return sum(1 for _ in runs)
