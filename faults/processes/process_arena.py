"""An arena whose run is in a real Airflow, and what happens to Airflow's processes."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from faults.arena.arena import ORPHANS, Arena
from faults.fault import Fault
from faults.processes.real_airflow import DAG, GUARD_DAG, RealAirflow
from local_airflow.instance.rest import (
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    ApiUnavailableError,
    NotFoundError,
    wait_for,
)

_GUARD_LIMIT_SECONDS = 90.0
_GUARD_COMES_SECONDS = 60.0
"""After a lease has run out; Airflow's guard looks every five minutes."""
_FINISH_LIMIT_SECONDS = 150.0
_NOTICED_SECONDS = 30.0
"""The first try that meets another cluster is an alert; somebody then points the connection back."""
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
        self._expired_since = math.inf
        self.guard_dag = GUARD_DAG
        """Of the entry that knows the cluster."""

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
        while self.lease() is not None and not self.over.is_set():
            time.sleep(_POLL_SECONDS)

    def strike_and_wake(self, task: str, moment: str, strike: Callable[[], object]) -> None:
        """Strike while a task is stopped, and let what is left of it go on when the window is closed, to its end."""
        left = psutil.Process(self.points.processes(task)[0])
        with self.not_over_before():
            strike()
            self.await_window_closed()
            self.points.release(task, moment)
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                left.wait(_LEFT_OVER_SECONDS)

    @contextmanager
    def not_over_before(self) -> Iterator[None]:
        """The run is not taken for ended before the ``with`` block is, whatever its state."""
        self._sleepers += 1
        try:
            yield
        finally:
            self._sleepers -= 1

    def point_elsewhere(self) -> None:
        """From now on the Airflow connection leads to the other cluster, until somebody has noticed."""
        assert self.elsewhere is not None, "start_elsewhere() comes first"
        account = self.elsewhere.service_account_kubeconfig("registry-prune", "registry-prune")
        shutil.copy(account, self.airflow.kubeconfig)
        self._mend_later(_NOTICED_SECONDS, self._point_back)

    def _point_back(self) -> None:
        """Somebody has noticed."""
        shutil.copy(self.account, self.airflow.kubeconfig)

    def had_a_run_before(self) -> None:
        """An earlier run has seen the Images that there are now, as on any day but a cluster's first."""
        # Not before: they import Airflow, which takes its settings then.
        from include.registry_prune.report.kept_reports import keep_report
        from include.registry_prune.report.report import Outcome, RunReport
        from include.registry_prune.verdict.decision import Action

        now = datetime.now(UTC)
        report = RunReport(
            run_id="earlier",
            dag_id=DAG,
            cluster="default",
            outcome=Outcome.NOT_WORTH_IT,
            verdict=Action.SKIP,
            orphaned_blobs=ORPHANS,
            run_after=now - timedelta(days=1),
            reported_at=now,
        )
        keep_report(report, (self.airflow.home / "registry-prune").as_uri())

    # --- a second Airflow

    def start_second_airflow(self) -> None:
        """Start another Airflow with the same DAGs, for the same cluster."""
        folder = self._folder.with_name("second-airflow")
        folder.mkdir()
        self.second = self._stack.enter_context(RealAirflow(folder, self.fault.settings))
        shutil.copy(self.account, self.second.kubeconfig)

    # --- the run

    def run_state(self) -> str:
        """The run's state; ``unknown`` while the api-server is away."""
        try:
            return self.airflow.api.run_state(DAG, self.run_id)
        except ApiUnavailableError:
            return "unknown"

    def await_end(self) -> str:
        """The run's state once it has ended, has closed its window, or its lease has run out: the guard's turn."""
        try:
            wait_for(lambda: self._ended() or self._guards_turn(), self.fault.run_seconds)
        except TimeoutError:
            self.failures.append(f"the run did not get to an end in {self.fault.run_seconds:.0f} s")
        return self.run_state()

    def _guards_turn(self) -> bool:
        """Whether a guard may look before the run has ended."""
        if self.fault.asked is None:
            return not self._sleepers and self.all_hit() and self._window_is_over()
        # In the matrix the run comes first: would it end as success beside the window that it left?
        lease = self.lease()
        if self._sleepers or lease is None or not lease.expired:
            self._expired_since = math.inf
            return False
        self._expired_since = min(self._expired_since, time.monotonic())
        return time.monotonic() - self._expired_since > _GUARD_COMES_SECONDS

    def _window_is_over(self) -> bool:
        lease = self.lease()
        if lease is None:
            return self.clock.seconds > 0 and not self.read_only_wanted()
        return lease.expired

    def is_over(self, holder: str) -> bool:
        """Whether the run of a lease's holder has ended; nobody else's is known to this Airflow."""
        dag_id, _, run_id = holder.partition("/")
        try:
            return self.airflow.api.run_state(dag_id, run_id) in FINISHED_RUN_STATES
        except NotFoundError:
            return False

    def guard_round(self) -> None:
        """A run of the DAG ``registry_guard``."""
        api = self.airflow.api
        if self.elsewhere is not None:
            self._point_back()
        try:
            run_id = api.trigger(self.guard_dag, {})
        except ApiUnavailableError:
            return
        try:
            wait_for(lambda: api.run_state(self.guard_dag, run_id) in FINISHED_RUN_STATES, _GUARD_LIMIT_SECONDS)
        except TimeoutError:
            api.mark_failed(self.guard_dag, run_id)

    def report(self) -> dict[str, Any] | None:
        """The run's own report; None if it has none."""
        found: dict[str, Any] | None = self.airflow.api.xcom(DAG, self.run_id, "report")
        return found

    def finish_run(self, run: str) -> str:
        """Let the run go on to its end; mark it as failed if it does not come to one."""
        self.await_mending()
        self.airflow.start_missing()
        # Without its DAG a run comes to no end, not even when it is marked.
        self.airflow.reset_entries()
        self.airflow.api.unpause(DAG)
        try:
            wait_for(self._ended, _FINISH_LIMIT_SECONDS)
        except TimeoutError:
            self.airflow.api.mark_failed(DAG, self.run_id)
            wait_for(self._ended, _FINISH_LIMIT_SECONDS)
            return f"{run}, marked failed at last" if run else ""
        return self.run_state()

    def _ended(self) -> bool:
        return not self._sleepers and self.has_ended()

    def has_ended(self) -> bool:
        """Whether the run has ended, and every task of it."""
        if self.run_state() not in FINISHED_RUN_STATES:
            return False
        return all(task.state in FINISHED_TASK_STATES for task in self.airflow.api.task_instances(DAG, self.run_id))
