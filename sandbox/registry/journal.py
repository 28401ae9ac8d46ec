"""The sandbox's own record of which pruners ran: a line when one starts and one when it ends.

Tests and ``verify`` read it to see what no log can show: two pruners at once, one that was killed, one that
deleted in a pod that took pushes.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox.base.paths import StateDirectory
from sandbox.base.proc_files import started_at

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
            "started": started_at(os.getpid()),
            "pod": environ.get("HOSTNAME", ""),
            "mode": mode,
            "read_only": "enabled: true" in environ.get(_READ_ONLY, ""),
        }

    def run(self, work: Callable[[], int]) -> int:
        """Run the work between its two lines; its exit status is recorded and returned.

        A signal that ends the process is recorded as 128 and its number, and ends it as it would have.
        """
        self._append(self._start, with_others=True)
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

    def _append(self, entry: Mapping[str, object], *, with_others: bool = False) -> None:
        if self._path is None:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Of two that start at the same moment the second one has to see the first.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            beside = {"beside": _alive(read_journal(self._path))} if with_others else {}
            os.write(descriptor, (json.dumps({**entry, **beside, "time": time.time()}) + "\n").encode())
        finally:
            os.close(descriptor)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines so far; none if no pruner has run.

    A start has ``pid``, ``started`` (which with the pid names the process for good), ``pod``, ``mode``,
    ``read_only`` and ``beside``, the pids of the pruners that lived at that moment; an end has ``pid`` and
    ``exit_code``. A pruner that was killed has no end.
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def most_at_once(journal: Iterable[Mapping[str, Any]]) -> int:
    """The highest number of pruners, of any mode and in any pods, that have lived at the same moment.

    Exact also for those that were killed: their number grows only when one starts, and each counts the others then.
    """
    return max((1 + len(entry["beside"]) for entry in journal if entry["event"] == "start"), default=0)


def _alive(journal: Iterable[Mapping[str, Any]]) -> list[int]:
    living: dict[int, int] = {}
    for entry in journal:
        if entry["event"] == "start":
            living[entry["pid"]] = entry["started"]
        else:
            living.pop(entry["pid"], None)
    return [pid for pid, started in living.items() if started_at(pid) == started]
