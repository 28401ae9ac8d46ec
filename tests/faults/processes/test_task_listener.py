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


def test_a_store_that_does_not_answer_keeps_whoever_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

    from faults.processes.task_listener import TaskListener

    for name in ("write", "close"):
        monkeypatch.setattr(LocalFileOpener, name, getattr(LocalFileOpener, name))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "points"))
    points = Points(tmp_path / "points")
    task = SimpleNamespace(task_id="hard_prune", execute=lambda: None, resume_execution=lambda: None)
    TaskListener().on_task_instance_running(None, SimpleNamespace(task=task))
    file = LocalFileSystem().open(str(tmp_path / "list"), "wb")
    points.hang_store()
    thread = started(lambda: (file.write(b"line"), file.close()))
    thread.join(0.2)
    assert thread.is_alive()
    assert (tmp_path / "list").read_bytes() == b""
    points.clear()
    thread.join(LIMIT_SECONDS)
    assert (tmp_path / "list").read_bytes() == b"line"
