"""Runs a DAG of this project in this process, with steps that say what became of them instead of doing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.session import create_session

from faults.in_process.dag_test import run_in_process
from include.registry_prune.base_prune.job import BasePrune
from include.registry_prune.base_prune.output import PruneFigures
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.cluster.role import Grant
from include.registry_prune.lists.reconciliation import Basis, Reconciliation
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.preflight.access import AccessReview
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult, Summary
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.records import Record
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.gates import Gate
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.window.lease import Lease

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GARBAGE = Summary(blobs=3_000, rounded_bytes=4 * 2**30)
PRUNE = Verdict(action=Action.PRUNE, reasons=("3,000 orphaned blobs ≥ 1,000",))
NOT_NOW = Verdict(action=Action.SKIP, reasons=("2 builds would be lost", "this run opens no window"))
SKIP = Verdict(action=Action.SKIP, reasons=("3 orphaned blobs < 1,000",))
STOP = Verdict(action=Action.STOP, reasons=("more than can be believed",))

RESULTS: Mapping[str, Record] = {
    "verify_access": AccessReview(user="pruner", server="https://cluster.test:6443"),
    "base_prune": BasePrune(carried_out=True, figures=PruneFigures(images=3)),
    "grant_image_pruner": Grant(service_account="registry", binding=OUR_BINDING, ours=True),
    "survey": PrunerResult(mode="check", said=GARBAGE, counted_blobs=GARBAGE.blobs, exit_status=0),
    "integrity_before": IntegrityCheck(exit_status=0),
    "approve_window": Approval(asked=False, approved=True, window="w"),
    "arm_window": Lease(holder="registry_prune/run", token="w", armed_at=NOON, expires_at=NOON + timedelta(hours=73)),
    "set_read_only": Settled(read_only=True, seconds=12.0, pods=2, window="w"),
    "dry_run": PrunerResult(window="w", mode="check", said=GARBAGE, counted_blobs=GARBAGE.blobs, exit_status=0),
    "hard_prune": PrunerResult(window="w", mode="delete", said=GARBAGE, counted_blobs=GARBAGE.blobs, exit_status=0),
    "restore_read_write": Settled(read_only=False, seconds=12.0, pods=2, read_only_seconds=42.0),
    "reconcile": Reconciliation(basis=Basis.LIST, candidates=GARBAGE.blobs, deleted=GARBAGE.blobs),
    "integrity_after": IntegrityCheck(exit_status=0),
}


class StepFailedError(Exception):
    """What a step raises that is played to fail."""


@dataclass(frozen=True)
class PlayedRun:
    """A run that has ended.

    :param run_id: its id.
    :param state: what Airflow calls the run.
    :param tasks: what Airflow calls each task.
    :param ran: the tasks whose work was started, in that order.
    :param results: what each task handed over, as JSON.
    """

    run_id: str
    state: str
    tasks: dict[str, str]
    ran: tuple[str, ...]
    results: dict[str, Any]


def play(
    dag: DAG,
    *,
    failing: Collection[str] = (),
    steps: Mapping[str, Callable[[], Any]] | None = None,
    own: Collection[str] = (),
    conf: Mapping[str, Any] | None = None,
    executed: bool = True,
) -> PlayedRun:
    """Run a DAG of this project's tasks to its end.

    Every task's ``work`` and every gate's ``verdict`` is played: it hands over what a good run would. ``report`` alone
    is the real one.

    :param failing: tasks that raise.
    :param steps: what else a task does instead, by task.
    :param own: tasks that do what they really do.
    :param conf: what a user gives at the trigger.
    :param executed: False: Airflow does not execute what is played, and takes the state in which it ends as given. What
        follows from it, Airflow decides as ever. That costs a fraction of the time.
    """
    ran: list[str] = []
    played_steps = dict.fromkeys(failing, _fail) | dict(steps or {})
    for task in dag.tasks:
        method = "verdict" if isinstance(task, Gate) else "work"
        outcome = PRUNE if isinstance(task, Gate) else RESULTS.get(task.task_id)
        if task.task_id in played_steps:
            step = _played(played_steps[task.task_id])
        elif task.task_id in {"report", *own}:
            step = getattr(task, method)
        else:
            step = _played(always(outcome))
        setattr(task, method, _noted(ran, task.task_id, step))
    really = {task.task_id for task in dag.tasks} if executed else {"report", *own}
    # As verify_access, which is played, names the run.
    with patch.object(Run, "token", "a1"), _only_executed(really):
        return run_to_its_end(dag, ran, conf)


@contextmanager
def _only_executed(really: Collection[str]) -> Iterator[None]:
    """In the loop of ``dag.test()``, which asks Airflow's scheduler what comes next, only these tasks are executed."""
    execute = sys.modules[DAG.__module__]._run_task

    def run_task(*, ti: Any, task: Any, run_triggerer: bool) -> Any:
        if ti.task_id in really:
            return execute(ti=ti, task=task, run_triggerer=run_triggerer)
        state, outcome = _end_of(task)
        if outcome is not None:
            with create_session() as session:
                XComModel.set(
                    "return_value",
                    outcome.to_json(),
                    dag_id=ti.dag_id,
                    task_id=ti.task_id,
                    run_id=ti.run_id,
                    serialize=False,
                    session=session,
                )
        ti.set_state(state)
        return None

    with patch.object(sys.modules[DAG.__module__], "_run_task", run_task):
        yield


def _end_of(task: Any) -> tuple[str, Record | None]:
    """The state that a played task ends in, and what it hands over."""
    step: Callable[[Any], Any] = task.verdict if isinstance(task, Gate) else task.work
    try:
        outcome = step(None)
    except AirflowSkipException:
        return "skipped", None
    except Exception:
        return "failed", None
    if isinstance(outcome, Verdict):
        return {Action.PRUNE: "success", Action.SKIP: "skipped", Action.STOP: "failed"}[outcome.action], outcome
    return "success", outcome


def always(outcome: Any) -> Callable[[], Any]:
    """A step that hands over that."""
    return lambda: outcome


def _fail() -> None:
    raise StepFailedError("this step is played to fail")


def _played(step: Callable[[], Any]) -> Callable[[Run], Any]:
    return lambda run: step()


def _noted(ran: list[str], task_id: str, step: Callable[[Run], Any]) -> Callable[[Run], Any]:
    def noted(run: Run) -> Any:
        ran.append(task_id)
        return step(run)

    return noted


def run_to_its_end(dag: DAG, ran: list[str], conf: Mapping[str, Any] | None = None) -> PlayedRun:
    """Run any DAG, without retries.

    :param ran: where its tasks note that they were started.
    """
    # The trigger form is no part of what is looked at here, and its schema would be checked a thousand times.
    dag.params = ParamsDict()
    for task in dag.tasks:
        task.retries = 0
        task.params = ParamsDict()
    store(dag)
    run = run_in_process(dag, conf or {})
    with create_session() as session:
        tasks = {ti.task_id: str(ti.state) for ti in run.get_task_instances(session=session)}
        rows = session.query(XComModel).filter_by(dag_id=dag.dag_id, run_id=run.run_id, key="return_value").all()
        results = {row.task_id: XComModel.deserialize_value(row) for row in rows}
    return PlayedRun(run_id=run.run_id, state=str(run.state), tasks=tasks, ran=tuple(ran), results=results)


def store(dag: DAG) -> None:
    """Put a DAG that is in no file into the database, as the dag-processor does."""
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
