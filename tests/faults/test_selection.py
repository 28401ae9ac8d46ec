"""A few faults of the sweep (``make faults``), by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.catalogue import OUTSIDE_TASKS, WINDOW_TASKS
from faults.in_process import try_in_process
from faults.points import AFTER, BEFORE
from faults.process_catalogue import AFTER_WINDOW, AROUND_CALLS, BEFORE_WINDOW, IN_WINDOW
from faults.workers import IN_PROCESS, PROCESSES, catalogue
from tests.run_tasks import IN_ORDER

FAULTS = {fault.name: fault for fault in catalogue(IN_PROCESS)}
SELECTION = [
    "exception, set_read_only, after its call",
    "API answers 401 to 3 requests, restore_read_write, from its first call",
    "API answers 503 to 3 requests, set_read_only, from its first call",
    "exec cut abruptly, hard_prune, in mid-delete",
    "pod evicted, hard_prune, in mid-delete",
    # Guards the watch over the delete: without it, pushes are accepted beside the pruner and torn.
    "person sets readOnly false, hard_prune, in mid-delete",
    # Guards restore_read_write's look whether a window without a lease is its own.
    "person removes the lease, hard_prune, in mid-delete",
]


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("name", SELECTION)
def test_whatever_goes_wrong_the_registry_ends_read_write_and_whole(name: str, tmp_path: Path) -> None:
    outcome = try_in_process(FAULTS[name], tmp_path / "sandbox")
    assert outcome.good, outcome


@pytest.mark.parametrize("kind", [IN_PROCESS, PROCESSES])
def test_every_fault_has_a_name_of_its_own(kind: str) -> None:
    names = [fault.name for fault in catalogue(kind)]
    assert len(set(names)) == len(names)


def test_the_sweep_has_points_in_every_task_of_the_run() -> None:
    assert {*WINDOW_TASKS, *OUTSIDE_TASKS} == set(IN_ORDER)
    assert {task for task, _ in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW)} == set(IN_ORDER)


def test_a_task_of_the_window_can_be_killed_before_its_call_and_after_it() -> None:
    points = {*IN_WINDOW, *AROUND_CALLS}
    assert {(task, moment) for task in WINDOW_TASKS for moment in (BEFORE, AFTER)} <= points
    names = {fault.name for fault in catalogue(PROCESSES)}
    for what in ("kill -9 of the task", "kill -9 of the task's supervisor", "task marked failed"):
        assert {f"{what}, {task}, {moment}" for task, moment in points} <= names
