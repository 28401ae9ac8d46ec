"""What Airflow loads as a plugin, so that the sweep can stop its tasks."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from faults.processes.points import AFTER, BEFORE, FOLDER_VARIABLE, Points
from tests.faults.processes.stopped_task import LIMIT_SECONDS, started, wait_until_reached


def test_in_a_tasks_process_it_stops_before_and_after_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faults.processes.task_listener import TaskListener

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
