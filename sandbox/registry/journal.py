"""The sandbox's own record of which pruners ran: a line when one starts and one when it ends.

Tests and ``verify`` read it to see what no log can show: two pruners at once, one that was killed, one that
deleted in a pod that took pushes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox.paths import StateDirectory

_READ_ONLY = "REGISTRY_STORAGE_MAINTENANCE_READONLY"


class PrunerJournal:
    """Writes the lines of this process.

    :param environ: of the process; without ``SANDBOX_STATE`` nothing is written.
    :param mode: ``check`` or ``delete``.
    """

    def __init__(self, environ: Mapping[str, str], mode: str) -> None:
        state = environ.get("SANDBOX_STATE")
        self._path = StateDirectory(Path(state)).pruner_journal if state else None
        self._start = {
            "event": "start",
            "pid": os.getpid(),
            "pod": environ.get("HOSTNAME", ""),
            "mode": mode,
            "read_only": "enabled: true" in environ.get(_READ_ONLY, ""),
        }

    def run(self, work: Callable[[], int]) -> int:
        """Run the work between its two lines; its exit status is recorded and returned.

        A signal that ends the process is recorded as 128 and its number, and ends it as it would have.
        """
        self._append(self._start)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # An ignored signal (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end_by_signal)
        exit_code = 1
        try:
            exit_code = work()
        except BrokenPipeError:
            # Go's runtime lets a closed stdout or stderr end the process.
            self._end_by_signal(signal.SIGPIPE, None)
        finally:
            self._end(exit_code)
        return exit_code

    def _end_by_signal(self, number: int, _frame: FrameType | None) -> None:
        self._end(128 + number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _end(self, exit_code: int) -> None:
        self._append({"event": "end", "pid": os.getpid(), "exit_code": exit_code})

    def _append(self, entry: Mapping[str, object]) -> None:
        if self._path is None:
            return
        line = json.dumps({**entry, "time": time.time()}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines so far; none if no pruner has run."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
