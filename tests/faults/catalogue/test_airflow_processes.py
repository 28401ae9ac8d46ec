"""Where the faults of a real Airflow strike."""

from __future__ import annotations

from faults.catalogue.airflow_processes import AFTER_WINDOW, AROUND_CALLS, BEFORE_WINDOW, IN_WINDOW
from faults.catalogue.kinds import PROCESSES, catalogue
from faults.catalogue.tasks_and_connections import OUTSIDE_TASKS, WINDOW_TASKS
from faults.processes.points import AFTER, BEFORE
from tests.run_tasks import IN_ORDER


def test_the_sweep_has_points_in_every_task_of_the_run() -> None:
    assert {*WINDOW_TASKS, *OUTSIDE_TASKS} == set(IN_ORDER)
    assert {task for task, _ in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW)} == set(IN_ORDER)


def test_a_task_of_the_window_can_be_killed_before_its_call_and_after_it() -> None:
    points = {*IN_WINDOW, *AROUND_CALLS}
    assert {(task, moment) for task in WINDOW_TASKS for moment in (BEFORE, AFTER)} <= points
    names = {fault.name for fault in catalogue(PROCESSES)}
    for what in ("kill -9 of the task", "kill -9 of the task's supervisor", "task marked failed"):
        assert {f"{what}, {task}, {moment}" for task, moment in points} <= names
