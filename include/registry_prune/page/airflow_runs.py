"""What Airflow's database knows: runs, their tasks, and what these have handed over."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from pydantic import ValidationError
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from include.registry_prune.page.registry_now import OpenWindow
from include.registry_prune.page.view import StoredRun
from include.registry_prune.window.guard_round import GuardRound
from include.registry_prune.window.lease import Lease

REPORT_TASK, OPENING_TASK, CLOSING_TASK, ARMING_TASK = "report", "set_read_only", "restore_read_write", "arm_window"
GUARD_LOOKED_FOR = timedelta(days=1)
_ROUNDS = 20
_OPENED = {"running", "success", "failed", "up_for_retry"}


@dataclass(frozen=True)
class TaskView:
    """One task of a run, by its last try.

    :param state: Airflow's word for it; empty if it has not begun.
    """

    task_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    try_number: int


@dataclass(frozen=True)
class GuardSeen:
    """What is known of a cluster's guard.

    :param last: its last round that came to its end; ``looked_at``: when that was.
    :param failing: its newest round failed.
    :param paused: nobody guards.
    """

    last: GuardRound | None = None
    looked_at: datetime | None = None
    failing: bool = False
    paused: bool = False


def stored_runs(session: Session, dag_id: str, *, count: int, run_id: str | None = None) -> list[StoredRun]:
    """The last runs of a DAG, the newest first.

    :param run_id: only this one.
    """
    of_report = and_(
        XComModel.dag_run_id == DagRun.id,
        XComModel.task_id == REPORT_TASK,
        XComModel.key == "return_value",
        XComModel.map_index == -1,
    )
    rows = session.execute(
        select(DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, XComModel.value, DagRun.run_after)
        .outerjoin(XComModel, of_report)
        .where(DagRun.dag_id == dag_id, *([] if run_id is None else [DagRun.run_id == run_id]))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(count)
    )
    return [
        StoredRun(run_id, str(state), start, end, _json(value), due_at=due)
        for run_id, state, start, end, value, due in rows
    ]


def tasks_of(session: Session, dag_id: str, run_id: str) -> list[TaskView]:
    """The tasks of a run, in the order in which they began."""
    rows = session.execute(
        select(
            TaskInstance.task_id,
            TaskInstance.state,
            TaskInstance.start_date,
            TaskInstance.end_date,
            TaskInstance.try_number,
        ).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    )
    tasks = [TaskView(task, str(state or ""), start, end, number) for task, state, start, end, number in rows]
    return sorted(tasks, key=lambda task: (task.started_at is None, str(task.started_at), task.task_id))


def open_window(session: Session, dag_id: str) -> OpenWindow | None:
    """The window of a run that is at work, by the states of its tasks; None if none is open."""
    run_ids = session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.state == "running"))
    for run_id in run_ids.all():
        tasks = {task.task_id: task for task in tasks_of(session, dag_id, run_id)}
        opening, closing = tasks.get(OPENING_TASK), tasks.get(CLOSING_TASK)
        closed = closing is not None and closing.state in ("success", "skipped")
        if opening is None or opening.state not in _OPENED or opening.started_at is None or closed:
            continue
        return OpenWindow(f"{dag_id}/{run_id}", opening.started_at, window_lease(session, dag_id, run_id))
    return None


def guard_seen(session: Session, guard_dag_id: str, *, now: datetime) -> GuardSeen:
    """What is known of a guard from its rounds of the last day."""
    dag = session.get(DagModel, guard_dag_id)
    of_round = and_(XComModel.dag_run_id == DagRun.id, XComModel.key == "return_value", XComModel.map_index == -1)
    # With 200 clusters there are millions of rounds: the index on run_after finds those of a day.
    rounds = session.execute(
        select(DagRun.state, DagRun.end_date, XComModel.value, XComModel.timestamp)
        .outerjoin(XComModel, of_round)
        .where(DagRun.dag_id == guard_dag_id, DagRun.run_after >= now - GUARD_LOOKED_FOR)
        .order_by(DagRun.run_after.desc())
        .limit(_ROUNDS)
    ).all()
    ended = next((str(state) for state, end, _, _ in rounds if end is not None), "")
    seen = GuardSeen(failing=ended == "failed", paused=dag is not None and bool(dag.is_paused))
    for _, _, value, told_at in rounds:
        try:
            last = None if value is None else GuardRound.from_json(_json(value))
        except (ValidationError, ValueError):  # of another release
            continue
        if last is not None:
            return replace(seen, last=last, looked_at=last.looked_at or told_at)
    return seen


def handed_over(session: Session, dag_id: str, run_id: str, task_id: str) -> Any:
    """What a task handed over, as plain JSON; None if there is nothing."""
    value = session.scalar(
        select(XComModel.value)
        .where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.task_id == task_id,
            XComModel.key == "return_value",
        )
        .limit(1)
    )
    return _json(value)


def window_lease(session: Session, dag_id: str, run_id: str) -> Lease | None:
    """The lease that a run wrote; None if it is not known."""
    return _lease(handed_over(session, dag_id, run_id, ARMING_TASK))


def _lease(value: Any) -> Lease | None:
    try:
        return None if value is None else Lease.from_json(value)
    except (ValidationError, ValueError):
        return None


def _json(value: Any) -> Any:
    """An XCom's value as plain JSON. Nothing is made an object of: the api-server trusts no XCom."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
