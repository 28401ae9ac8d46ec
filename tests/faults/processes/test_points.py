"""The points at which the sweep stops the tasks of a real Airflow."""

from __future__ import annotations

from pathlib import Path

from faults.processes.points import AFTER, BEFORE, Points
from tests.faults.processes.stopped_task import LIMIT_SECONDS, started, wait_until_reached


def test_a_task_stops_only_where_that_was_ordered_and_only_once(tmp_path: Path) -> None:
    points = Points(tmp_path / "points")
    points.stop_at("hard_prune", BEFORE)
    points.order("hard_prune", BEFORE)
    task = started(lambda: points.stop_at("hard_prune", BEFORE))
    wait_until_reached(points, BEFORE)
    assert task.is_alive()
    points.release("hard_prune", BEFORE)
    task.join(LIMIT_SECONDS)
    assert not task.is_alive()
    points.stop_at("hard_prune", BEFORE)


def test_a_task_of_an_earlier_fault_goes_on_when_all_is_forgotten(tmp_path: Path) -> None:
    points = Points(tmp_path / "points")
    points.order("hard_prune", AFTER)
    task = started(lambda: points.stop_at("hard_prune", AFTER))
    wait_until_reached(points, AFTER)
    points.clear()
    task.join(LIMIT_SECONDS)
    assert not task.is_alive()
