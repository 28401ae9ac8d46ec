"""The points at which the sweep stops the tasks of a real Airflow."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faults.points import AFTER, BEFORE, FOLDER_VARIABLE, Points

LIMIT_SECONDS = 120.0


def wait_until_reached(points: Points, moment: str) -> None:
    over = threading.Event()
    for _ in range(10_000):
        if points.reached("hard_prune", moment):
            return
        over.wait(0.01)
    raise AssertionError(f"the task did not come to {moment!r}")


def started(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


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


def test_in_a_tasks_process_it_stops_before_and_after_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faults.task_listener import TaskListener

    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "points"))
    points = Points(tmp_path / "points")
    points.order("hard_prune", BEFORE)
    points.order("hard_prune", AFTER)
    done: list[str] = []
    task = SimpleNamespace(
        task_id="hard_prune", execute=lambda *, context: done.append(context), resume_execution=lambda: None
    )

    def run() -> None:
        TaskListener().on_task_instance_running(None, SimpleNamespace(task=task))
        task.execute(context="work")
        done.append("told Airflow")

    thread = started(run)
    wait_until_reached(points, BEFORE)
    assert done == []
    assert points.processes("hard_prune") == (os.getpid(), os.getppid())
    points.release("hard_prune", BEFORE)
    wait_until_reached(points, AFTER)
    assert done == ["work"]
    points.release("hard_prune", AFTER)
    thread.join(LIMIT_SECONDS)
    assert done == ["work", "told Airflow"]
