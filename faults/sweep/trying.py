"""What one process of the sweep does: fault after fault, each with a sandbox and a log of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import traceback
from contextlib import ExitStack
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, TypeAlias

from faults.arena.ending import CONDITIONS
from faults.catalogue.kinds import IN_PROCESS, catalogue
from faults.fault import NEVER_HIT, Fault, Outcome
from faults.in_process.airflow_home import airflow_home
from faults.in_process.trial import try_in_process
from faults.processes.real_airflow import RealAirflow
from faults.processes.trial import try_in_real_airflow

Job = tuple[str, str]
"""Kind and name of a fault."""
Results: TypeAlias = "Queue[tuple[int, Job, Outcome | None]]"
"""Number of the process, its job, and the outcome; None when it begins."""


def log_name(kind: str, name: str) -> str:
    """Name of a file or folder for one fault."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


def fault_of(job: Job) -> Fault[Any]:
    """The fault of that kind and name."""
    return next(fault for fault in catalogue(job[0]) if fault.name == job[1])


def failed(fault: Fault[Any], remark: str) -> Outcome:
    """The outcome of a fault that could not be tried."""
    nothing: dict[str, bool | None] = dict.fromkeys(CONDITIONS)
    return Outcome(fault.what, fault.point, "?", "?", nothing, 0.0, 0.0, (remark,))


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
        self._wanted: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    def __enter__(self) -> _Airflows:
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
        fault = fault_of(job)
        self._redirect(log_name(kind, name))
        with tempfile.TemporaryDirectory(prefix="registry-prune-fault-", ignore_cleanup_errors=True) as folder:
            try:
                if kind == IN_PROCESS:
                    return try_in_process(fault, Path(folder) / "sandbox")
                return self._try_in_real(fault, Path(folder) / "sandbox", self._logs / log_name(kind, name))
            except Exception as error:
                traceback.print_exc()
                self._end_real()
                return failed(fault, f"the sweep failed: {type(error).__name__}: {error}")

    def _try_in_real(self, fault: Fault[Any], folder: Path, logs: Path) -> Outcome:
        real = self._real_with(dict(fault.settings), dict(fault.entries))
        outcome = try_in_real_airflow(real, fault, folder)
        if not outcome.good:
            real.keep_logs(logs)
        return outcome

    def _real_with(self, settings: dict[str, Any], entries: dict[str, Any]) -> RealAirflow:
        if self._real is None or self._wanted != (settings, entries):
            self._end_real()
            folder = self._real_stack.enter_context(
                tempfile.TemporaryDirectory(prefix="registry-prune-airflow-", ignore_cleanup_errors=True)
            )
            self._real = self._real_stack.enter_context(RealAirflow(Path(folder), settings, entries))
            self._wanted = (settings, entries)
        return self._real

    def _end_real(self) -> None:
        self._real = None
        self._real_stack.close()
