"""Peak memory and CPU time of processes that somebody else runs."""

from __future__ import annotations

import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil


@dataclass(frozen=True)
class Usage:
    """What some processes took together.

    :param seconds: between entering and leaving the ``with`` block.
    :param cpu_seconds: of those seen, user and system.
    :param peak_bytes: the largest sum of their resident memory that a look found; memory that forked processes share
        is counted for each.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class RegularLook(ABC):
    """Looks at something again and again, in a thread, as long as the ``with`` block lasts.

    :param pause_seconds: between two looks.
    """

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="regular look", daemon=True)

    def __enter__(self) -> Self:
        self.begin()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.end()

    def _watch(self) -> None:
        while not self._over.wait(self._pause_seconds):
            self.look()

    @abstractmethod
    def begin(self) -> None:
        """Before the first look."""

    @abstractmethod
    def look(self) -> None:
        """One look."""

    @abstractmethod
    def end(self) -> None:
        """After the last look."""


class UsageOf(RegularLook):
    """Looks at processes as long as the ``with`` block lasts; then :attr:`usage` is there.

    CPU time is what each process had taken at the last look that found it, less what it had taken at the first one if
    it lived already: a process that lives shorter than the pause between two looks may be missed.

    :param processes: who is looked at; asked anew for each look.
    :param pause_seconds: between two looks. A look at a dozen processes takes about a millisecond.
    """

    usage: Usage

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]], *, pause_seconds: float = 0.05) -> None:
        super().__init__(pause_seconds)
        self._processes = processes
        self._before: dict[tuple[int, float], float] = {}
        self._cpu_seconds: dict[tuple[int, float], float] = {}
        self._peak_bytes = 0

    def begin(self) -> None:
        """Note what the processes have taken so far."""
        self._started = time.monotonic()
        self.look()
        self._before = dict(self._cpu_seconds)

    def end(self) -> None:
        """Sum up."""
        self.look()
        self.usage = Usage(
            seconds=time.monotonic() - self._started,
            cpu_seconds=sum(self._cpu_seconds.values()) - sum(self._before.values()),
            peak_bytes=self._peak_bytes,
        )

    def look(self) -> None:
        """Note CPU time and memory of each."""
        resident = 0
        for process in self._processes():
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                resident += process.memory_info().rss
                self._cpu_seconds[process.pid, process.create_time()] = times.user + times.system
        self._peak_bytes = max(self._peak_bytes, resident)


def tree(pid: int) -> Callable[[], list[psutil.Process]]:
    """A process and all that it has started, for :class:`UsageOf`."""

    def processes() -> list[psutil.Process]:
        try:
            root = psutil.Process(pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    return processes


def run_measured(command: list[str], *, pause_seconds: float = 0.01, **options: object) -> Usage:
    """Run a command to its end.

    :param options: of :class:`subprocess.Popen`.
    :raises subprocess.CalledProcessError: if its exit status is not 0.
    """
    child = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    with UsageOf(tree(child.pid), pause_seconds=pause_seconds) as watched:
        status = child.wait()
    if status != 0:
        raise subprocess.CalledProcessError(status, command)
    return watched.usage
