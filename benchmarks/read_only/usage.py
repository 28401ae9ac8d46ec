"""CPU time and memory of an Airflow, whose tasks are processes that live a second or two."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measuring import RegularLook

_LOOK_SECONDS = 5.0
"""A look takes a fifth of a second of CPU time: each second, it would slow down what is measured."""
_PROPORTIONAL = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class AirflowUsage:
    """What the processes took together.

    :param cpu_seconds: user and system, those of tasks that came and went included.
    :param peak_bytes: the most memory that a look every five seconds found; what forked processes share counts once.
    """

    cpu_seconds: float
    peak_bytes: int


class UsageMeter(RegularLook):
    """Measures from entering to leaving the ``with`` block; then :attr:`usage` is there.

    A parent is told the CPU time of each child that it has waited for. So the sums over the living, children that are
    gone included, differ by exactly what was used in between.

    :param processes: who is measured; asked anew for each look.
    """

    usage: AirflowUsage | None = None
    """None if there were no processes."""

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        super().__init__(_LOOK_SECONDS)
        self._processes = processes
        self._peak_bytes = 0

    def begin(self) -> None:
        """Note what the processes have taken so far."""
        self._before = self._cpu_seconds()

    def look(self) -> None:
        """Note how much memory they have."""
        self._peak_bytes = max(self._peak_bytes, sum(map(_memory, self._processes())))

    def end(self) -> None:
        """Sum up."""
        if self._peak_bytes:
            self.usage = AirflowUsage(self._cpu_seconds() - self._before, self._peak_bytes)

    def _cpu_seconds(self) -> float:
        total = 0.0
        for process in self._processes():
            with suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # user, system, and both of the children
        return total


def _memory(process: psutil.Process) -> int:
    """A process's proportional share of the memory that it uses; 0 if it is gone."""
    try:
        found = _PROPORTIONAL.search((Path("/proc") / str(process.pid) / "smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
