"""An arena whose run is in a real Airflow, and what happens to Airflow's processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from faults.arena.arena import Arena
from faults.fault import Fault
from faults.processes.real_airflow import DAG, GUARD_DAG, RealAirflow
from include.registry_prune.window.config_lease import read_lease
from local_airflow.rest import FINISHED_RUN_STATES, FINISHED_TASK_STATES, ApiUnavailableError, wait_for

_RUN_LIMIT_SECONDS = 900.0
_GUARD_LIMIT_SECONDS = 90.0
_FINISH_LIMIT_SECONDS = 150.0
_LEFT_OVER_SECONDS = 60.0
_POLL_SECONDS = 0.5


class ProcessArena(Arena):
    """An arena whose run is in a real Airflow.

    :param airflow: the Airflow.
    """

    def __init__(self, folder: Path, fault: Fault[Any], airflow: RealAirflow) -> None:
        super().__init__(folder, fault)
        self.airflow = airflow
        self.points = airflow.points
        self.run_id = ""
        self._mended_at = 0.0
        self._sleepers = 0

    # --- what happens to processes

    def kill_task(self, task: str) -> None:
        """Kill -9 of the process that the task works in."""
        psutil.Process(self.points.processes(task)[0]).kill()

    def kill_supervisor(self, task: str) -> None:
        """Kill -9 of the process that looks after it."""
        psutil.Process(self.points.processes(task)[1]).kill()

    def take_away(self, name: str, seconds: float) -> None:
        """Kill one of Airflow's processes, and start it again after a while.

        Where it was taken away a moment ago, it is first waited for until it lives again.
        """
        while not self.airflow.lives(name) and not self.over.is_set():
            time.sleep(_POLL_SECONDS)
        self.airflow.kill(name)
        self._mend_later(seconds, lambda: self.airflow.start(name))

    def kill_airflow(self, seconds: float | None = None) -> None:
        """Kill all of Airflow.

        :param seconds: until it is started again; None: it is started when the window is closed.
        """
        self.airflow.kill_everything()
        if seconds is not None:
            self._mend_later(seconds, self.airflow.start_missing)

    def _mend_later(self, seconds: float, mend: Callable[[], object]) -> None:
        self._mended_at = at = time.monotonic() + seconds
        self.meanwhile(lambda: time.monotonic() > at, mend)

    def await_mending(self) -> None:
        """Wait until whatever was taken away is back."""
        while time.monotonic() < self._mended_at and not self.over.is_set():
            time.sleep(_POLL_SECONDS)

    def await_window_closed(self) -> None:
        """Wait until the run's lease, which is there, is gone; at most to the end of everything."""
        while read_lease(self.admin) is not None and not self.over.is_set():
            time.sleep(_POLL_SECONDS)

    def strike_and_wake(self, task: str, moment: str, strike: Callable[[], object]) -> None:
        """Strike while a task is stopped, and let what is left of it go on when the window is closed, to its end."""
        left = psutil.Process(self.points.processes(task)[0])
        self._sleepers += 1
        try:
            strike()
            self.await_window_closed()
            self.points.release(task, moment)
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                left.wait(_LEFT_OVER_SECONDS)
        finally:
            self._sleepers -= 1

    # --- the run

    def run_state(self) -> str:
        """The run's state; ``unknown`` while the api-server is away."""
        try:
            return self.airflow.api.run_state(DAG, self.run_id)
        except ApiUnavailableError:
            return "unknown"

    def await_end(self) -> str:
        """The run's state once it has ended, has closed its window, or its lease has run out: the guard's turn."""
        wait_for(lambda: self._ended() or (self.all_hit() and self._window_is_over()), _RUN_LIMIT_SECONDS)
        return self.run_state()

    def _window_is_over(self) -> bool:
        lease = read_lease(self.admin)
        if lease is None:
            return self.clock.seconds > 0 and not self.read_only_wanted()
        return lease.expires_at.timestamp() < time.time()

    def guard_round(self) -> None:
        """A run of the DAG ``registry_guard``."""
        api = self.airflow.api
        try:
            run_id = api.trigger(GUARD_DAG, {})
        except ApiUnavailableError:
            return
        try:
            wait_for(lambda: api.run_state(GUARD_DAG, run_id) in FINISHED_RUN_STATES, _GUARD_LIMIT_SECONDS)
        except TimeoutError:
            api.mark_failed(GUARD_DAG, run_id)

    def report(self) -> dict[str, Any] | None:
        """The run's own report; None if it has none."""
        found: dict[str, Any] | None = self.airflow.api.xcom(DAG, self.run_id, "report")
        return found

    def finish_run(self, run: str) -> str:
        """Let the run go on to its end; mark it as failed if it does not come to one."""
        self.await_mending()
        self.airflow.start_missing()
        self.airflow.api.unpause(DAG)
        try:
            wait_for(self._ended, _FINISH_LIMIT_SECONDS)
        except TimeoutError:
            self.airflow.api.mark_failed(DAG, self.run_id)
            wait_for(self._ended, _FINISH_LIMIT_SECONDS)
            return f"{run}, marked failed at last" if run else ""
        return self.run_state()

    def _ended(self) -> bool:
        if self._sleepers or self.run_state() not in FINISHED_RUN_STATES:
            return False
        return all(task.state in FINISHED_TASK_STATES for task in self.airflow.api.task_instances(DAG, self.run_id))
