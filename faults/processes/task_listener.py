"""Stops tasks at the points that the sweep orders; Airflow loads it in each task's process, as a plugin.

The product knows nothing of it: ``RealAirflow`` gives its Airflow a plugins folder in which this is one more file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from fsspec.implementations.local import LocalFileOpener

from faults.processes.points import AFTER, BEFORE, FOLDER_VARIABLE, Points


class TaskListener:
    """Is told right before a task's ``execute``, in the task's own process."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Stop before the call, if ordered; see to it that the task stops after it, if ordered."""
        points, task = Points(Path(os.environ[FOLDER_VARIABLE])), task_instance.task
        points.note_processes(task.task_id)
        # A deferrable task goes on in `resume_execution`.
        for name in ("execute", "resume_execution"):
            setattr(task, name, _stopping_after(getattr(task, name), points, task.task_id))
        for name in ("write", "close"):
            setattr(LocalFileOpener, name, _waiting_for_store(getattr(LocalFileOpener, name), points))
        points.stop_at(task.task_id, BEFORE)


def _waiting_for_store(work: Any, points: Points) -> Any:
    """As a mounted share that stops answering: whoever writes to it waits, and no exception ends that."""

    def do(*arguments: Any, **options: Any) -> Any:
        points.await_store()
        return work(*arguments, **options)

    return do


def _stopping_after(work: Any, points: Points, task_id: str) -> Any:
    def do(*arguments: Any, **options: Any) -> Any:
        result = work(*arguments, **options)
        points.stop_at(task_id, AFTER)
        return result

    return do


class FaultPoints(AirflowPlugin):
    """What Airflow looks for in a plugin's file."""

    name = "fault_points"
    listeners = [TaskListener()]  # noqa: RUF012 - as Airflow declares it
