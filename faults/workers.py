"""Several processes that try faults side by side, each with a sandbox, an Airflow and a log of its own."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeAlias

from faults.fault import NEVER_HIT, Fault, Outcome

if TYPE_CHECKING:
    from faults.processes import RealAirflow

ROW_LIMIT_SECONDS = 1200.0
"""A row that takes longer is given up, with the process that it is in."""
END_SECONDS = 120.0
"""For a process of the sweep to end its Airflow and its sandbox when told to; killed, it would leave them behind."""
IN_PROCESS, PROCESSES = "in-process", "processes"

Job = tuple[str, str]
"""Kind and name of a fault."""
Results: TypeAlias = "Queue[tuple[int, Job, Outcome | None]]"
"""Number of the process, its job, and the outcome; None when it begins."""
Work = Callable[[int, Any, Results, Path], None]


def catalogue(kind: str) -> list[Fault[Any]]:
    """All faults of a kind."""
    from faults.catalogue import in_process_faults
    from faults.process_catalogue import process_faults

    return list(in_process_faults() if kind == IN_PROCESS else process_faults())


def log_name(kind: str, name: str) -> str:
    """Name of a file or folder for one fault."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


@dataclass
class _Worker:
    process: BaseProcess
    job: Job | None = None
    since: float = math.inf


class Workers:
    """Tries faults, so many at once; a context manager, so that everything ends.

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
                yield worker.job, failed(_fault(worker.job), f"the sweep's process: {why}")


def failed(fault: Fault[Any], remark: str) -> Outcome:
    """The outcome of a fault that could not be tried."""
    from faults.ending import CONDITIONS

    nothing: dict[str, bool | None] = dict.fromkeys(CONDITIONS)
    return Outcome(fault.what, fault.point, "?", "?", nothing, 0.0, 0.0, (remark,))


def _fault(job: Job) -> Fault[Any]:
    return next(fault for fault in catalogue(job[0]) if fault.name == job[1])


def try_faults(number: int, orders: Any, results: Results, logs: Path) -> None:
    """What one process does, until it is told to end.

    :param number: of the process.
    :param orders: a job after the other, None at the end.
    """
    signal.signal(signal.SIGTERM, lambda received, _frame: sys.exit(128 + received))
    with _Airflows(logs) as airflows:
        while (job := orders.get()) is not None:
            results.put((number, job, None))
            results.put((number, job, airflows.try_fault(job)))


class _Airflows:
    """The Airflow for faults in this process, and, from its first use on, a real one of several processes."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stack = ExitStack()
        self._real_stack = ExitStack()
        self._real: RealAirflow | None = None
        self._settings: dict[str, Any] = {}

    def __enter__(self) -> _Airflows:
        from faults.airflow_home import airflow_home

        self._redirect("start")
        self._stack.enter_context(airflow_home())
        self._stack.push(self._real_stack)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _redirect(self, name: str) -> None:
        """From now on what this process and its children print goes to this log."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("wb") as log:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                os.dup2(log.fileno(), stream.fileno())

    def try_fault(self, job: Job) -> Outcome:
        """The outcome. Where the fault did not hit, it tells nothing of the fault: then another run is tried, once.

        A push that is torn by the end of its pod, say, ends a run at its dry run.
        """
        outcome = self._try_once(job)
        return self._try_once(job) if NEVER_HIT in outcome.remarks else outcome

    def _try_once(self, job: Job) -> Outcome:
        """The outcome; that the sweep itself failed is one, too."""
        kind, name = job
        fault = _fault(job)
        self._redirect(log_name(kind, name))
        with tempfile.TemporaryDirectory(prefix="registry-prune-fault-", ignore_cleanup_errors=True) as folder:
            try:
                if kind == IN_PROCESS:
                    from faults.in_process import try_in_process

                    return try_in_process(fault, Path(folder) / "sandbox")
                return self._try_in_real(fault, Path(folder) / "sandbox", self._logs / log_name(kind, name))
            except Exception as error:
                import traceback

                traceback.print_exc()
                self._end_real()
                return failed(fault, f"the sweep failed: {type(error).__name__}: {error}")

    def _try_in_real(self, fault: Fault[Any], folder: Path, logs: Path) -> Outcome:
        real = self._real_with(dict(fault.settings))
        outcome = real.try_fault(fault, folder)
        if not outcome.good:
            real.keep_logs(logs)
        return outcome

    def _real_with(self, settings: dict[str, Any]) -> RealAirflow:
        from faults.processes import RealAirflow

        if self._real is None or self._settings != settings:
            self._end_real()
            folder = self._real_stack.enter_context(
                tempfile.TemporaryDirectory(prefix="registry-prune-airflow-", ignore_cleanup_errors=True)
            )
            self._real = self._real_stack.enter_context(RealAirflow(Path(folder), settings))
            self._settings = settings
        return self._real

    def _end_real(self) -> None:
        self._real = None
        self._real_stack.close()
