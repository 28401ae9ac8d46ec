"""Several processes that try faults side by side; one that dies or never ends costs its own row alone."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from typing import Any

from faults.fault import Outcome
from faults.sweep.trying import Job, Results, failed, fault_of, try_faults

ROW_LIMIT_SECONDS = 1200.0
"""A row that takes longer is given up, with the process that it is in."""
END_SECONDS = 120.0
"""For a process of the sweep to end its Airflow and its sandbox when told to; killed, it would leave them behind."""

Work = Callable[[int, Any, Results, Path], None]


@dataclass
class _Worker:
    process: BaseProcess
    job: Job | None = None
    since: float = math.inf


class Workers:
    """Tries faults, some at the same time; a context manager, so that everything ends.

    :param logs: folder for a log of each fault.
    :param work: what each of the processes does.
    """

    def __init__(self, jobs: Sequence[Job], parallel: int, logs: Path, work: Work | None = None) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._left = list(reversed(jobs))
        self._parallel = min(parallel, len(jobs))
        self._logs = logs
        self._work = work or try_faults
        self._results: Results = self._context.Queue()
        self._workers: dict[int, tuple[_Worker, Any]] = {}
        self._next = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker, orders in self._workers.values():
            orders.put(None)
            if worker.job is not None and worker.process.pid:
                os.kill(worker.process.pid, signal.SIGTERM)
        for worker, _orders in self._workers.values():
            worker.process.join(END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()

    def outcomes(self) -> Iterator[tuple[Job, Outcome]]:
        """The outcomes, as they come."""
        while self._left or any(worker.job for worker, _ in self._workers.values()):
            while self._left and len(self._workers) < self._parallel:
                self._hire()
            try:
                number, job, outcome = self._results.get(timeout=1)
            except Empty:
                yield from self._lost()
                continue
            if number in self._workers and outcome is None:
                self._workers[number][0].since = time.monotonic()
            elif number in self._workers and outcome is not None:
                self._give(number)
                yield job, outcome

    def _hire(self) -> None:
        self._next += 1
        orders = self._context.SimpleQueue()
        process = self._context.Process(target=self._work, args=(self._next, orders, self._results, self._logs))
        process.start()
        self._workers[self._next] = (_Worker(process), orders)
        self._give(self._next)

    def _give(self, number: int) -> None:
        worker, orders = self._workers[number]
        worker.job, worker.since = (self._left.pop() if self._left else None), math.inf
        if worker.job is not None:
            orders.put(worker.job)

    def _lost(self) -> Iterator[tuple[Job, Outcome]]:
        """What will not come any more: its process has died, or takes too long."""
        for number, (worker, _orders) in list(self._workers.items()):
            late = worker.job is not None and time.monotonic() - worker.since > ROW_LIMIT_SECONDS
            if worker.process.is_alive() and not late:
                continue
            del self._workers[number]
            worker.process.terminate()
            worker.process.join(END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
            if worker.job is not None:
                why = f"no end after {ROW_LIMIT_SECONDS:.0f} s" if late else f"died: {worker.process.exitcode}"
                yield worker.job, failed(fault_of(worker.job), f"the sweep's process: {why}")
