"""Named points at which the tasks of a real Airflow stop until the sweep lets them go on.

Both sides meet over files in one folder: the sweep orders a stop, the task's process says that it has come to it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

FOLDER_VARIABLE = "REGISTRY_PRUNE_FAULT_POINTS"
"""Environment variable of Airflow's processes: the folder."""
BEFORE, AFTER = "before its call", "after its call"
_HANGS = "store hangs"
_POLL_SECONDS = 0.02


class Points:
    """The points of one run.

    :param folder: is made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _file(self, task: str, moment: str, state: str) -> Path:
        return self._folder / f"{task}, {moment}.{state}"

    # --- the sweep's side

    def clear(self) -> None:
        """Forget everything; whoever waits goes on."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def order(self, task: str, moment: str) -> None:
        """Let the next try of the task stop at this point."""
        self._file(task, moment, "ordered").touch()

    def reached(self, task: str, moment: str) -> bool:
        """Whether a task waits there."""
        return self._file(task, moment, "reached").exists()

    def release(self, task: str, moment: str) -> None:
        """Let it go on."""
        self._file(task, moment, "reached").unlink(missing_ok=True)

    def known(self, task: str) -> bool:
        """Whether the task has begun, as far as it was not forgotten."""
        return self._file(task, "its", "processes").exists()

    def forget_processes(self, task: str) -> None:
        """Forget which process the task works in: the next run's is another one."""
        self._file(task, "its", "processes").unlink(missing_ok=True)

    def hang_store(self) -> None:
        """From now on the store of the lists does not answer the tasks any more, until :meth:`clear`."""
        (self._folder / _HANGS).touch()

    def processes(self, task: str) -> tuple[int, int]:
        """Process ids of the task's last try, and of its supervisor.

        :raises FileNotFoundError: if it has not begun.
        """
        noted = json.loads(self._file(task, "its", "processes").read_text(encoding="utf-8"))
        return noted["task"], noted["supervisor"]

    # --- the task's side

    def await_store(self) -> None:
        """Wait as long as the store of the lists does not answer."""
        while (self._folder / _HANGS).exists():
            time.sleep(_POLL_SECONDS)

    def note_processes(self, task: str) -> None:
        """Say which process the task works in."""
        noted = self._file(task, "its", f"processes-{os.getpid()}")
        noted.write_text(json.dumps({"task": os.getpid(), "supervisor": os.getppid()}), encoding="utf-8")
        noted.rename(self._file(task, "its", "processes"))

    def stop_at(self, task: str, moment: str) -> None:
        """Wait here, if that was ordered."""
        reached = self._file(task, moment, "reached")
        try:
            self._file(task, moment, "ordered").rename(reached)
        except FileNotFoundError:
            return
        while reached.exists():
            time.sleep(_POLL_SECONDS)
