"""A real Airflow of several processes, which serves one fault after the other, each with a sandbox of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
import yaml

from faults.arena import CONF, PROJECT, SETTINGS, Arena
from faults.fault import Fault, Outcome
from include.registry_prune.lease import Lease
from include.registry_prune.window import read_lease
from local_airflow import processes
from local_airflow.airflow_instance import AirflowInstance, free_port
from local_airflow.environment import AirflowSettings, KubernetesConnection
from local_airflow.interruption import Interruption
from local_airflow.rest import FINISHED_RUN_STATES, FINISHED_TASK_STATES, AirflowApi, ApiUnavailableError

DAG, GUARD_DAG = "registry_prune", "registry_guard"
_RUN_LIMIT_SECONDS = 240.0
_POLL_SECONDS = 0.2
_TASK_TITLE, _SUPERVISOR_TITLE = "airflow worker -- ", "airflow worker -- LocalExecutor:"


class Api(AirflowApi):
    """What the sweep does beyond a user's tool."""

    def pause(self, dag_id: str) -> None:
        """Let nothing of the DAG be scheduled any more."""
        self._request("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": True})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """As the button in the UI: the task is to run again, with its setups and its teardown."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self._request("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)


class RealAirflow:
    """Airflow's four processes, from entering to leaving the ``with`` block.

    :param folder: new and empty; marks the processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.kubeconfig = self._folder / "kubeconfig"
        clusters = self._folder / "clusters.yaml"
        clusters.write_text(yaml.safe_dump({"default": SETTINGS}), encoding="utf-8")
        settings = AirflowSettings(
            home=self._folder / "airflow",
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            connection=KubernetesConnection(str(self.kubeconfig)),
            clusters_file=clusters,
        )
        self._instance = AirflowInstance(settings, self._folder, Interruption())
        self._identities: dict[str, processes.ProcessIdentity] = {}

    def __enter__(self) -> Self:
        try:
            self._instance.create_database()
            self._identities = {each.name: each for each in self._instance.start_processes()}
            self._instance.wait_until_healthy()
            self._instance.warm_up()
            self.api = Api(self._instance.settings.url)
            wait_for(lambda: self.api.knows_dag(DAG) and self.api.knows_dag(GUARD_DAG), 60)
            for dag_id in (DAG, GUARD_DAG):
                self.api.unpause(dag_id)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        processes.end_all(lambda: processes.marked(self._folder, "airflow"), patience_seconds=2.0)

    def kill(self, name: str) -> None:
        """Kill -9 of the scheduler, the api-server …; of the api-server its children too."""
        process = self._identities[name].find()
        assert process is not None, f"{name} does not live"
        children = process.children(recursive=True) if name == "api-server" else []
        for each in [process, *children]:
            each.kill()
        process.wait(10)

    def start(self, name: str) -> None:
        """Start it again."""
        self._identities[name] = self._instance.start_process(name)

    def task_processes(self, *, supervisors: bool = False) -> list[psutil.Process]:
        """The processes in which tasks work, or those that look after them."""
        found = []
        for process in processes.marked(self._folder, "airflow"):
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            supervises = title.startswith(_SUPERVISOR_TITLE)
            if title.startswith(_TASK_TITLE) and supervises is supervisors and "<idle>" not in title:
                found.append(process)
        return found

    def try_fault(self, fault: Fault[Any], folder: Path) -> Outcome:
        """Let one run meet the fault.

        :param folder: new and empty.
        """
        with ProcessArena(folder, fault, self) as arena:
            shutil.copy(arena.account, self.kubeconfig)
            try:
                fault.prepare(arena)
                arena.run_id = self.api.trigger(DAG, CONF)
                return arena.conclude(arena.await_end())
            finally:
                arena.over.set()
                self._tidy_up(arena)

    def _tidy_up(self, arena: ProcessArena) -> None:
        """Nothing of this fault may live into the next."""
        for name, identity in list(self._identities.items()):
            if identity.find() is None:
                self.start(name)
        self._instance.wait_until_healthy()
        self.api.unpause(DAG)
        if arena.run_id:
            arena.finish_run("")
        kept = {each.pid for each in processes.with_descendants(self._identities.values())}
        for process in processes.marked(self._folder, "airflow"):
            if process.pid not in kept:
                process.kill()


class ProcessArena(Arena):
    """An arena whose run is in a real Airflow."""

    def __init__(self, folder: Path, fault: Fault[Any], airflow: RealAirflow) -> None:
        super().__init__(folder, fault)
        self.airflow = airflow
        self.run_id = ""

    def run_state(self) -> str:
        """The run's state; ``unknown`` while the api-server is away."""
        try:
            return self.airflow.api.run_state(DAG, self.run_id)
        except ApiUnavailableError:
            return "unknown"

    def await_end(self) -> str:
        """The run's state once it has ended, has closed its window, or its lease has run out: the guard's turn."""
        wait_for(lambda: self.run_state() in FINISHED_RUN_STATES or self._window_is_over(), _RUN_LIMIT_SECONDS)
        return self.run_state()

    def _window_is_over(self) -> bool:
        lease: Lease | None = read_lease(self.admin)
        if lease is None:
            return self.clock.seconds > 0 and not self.read_only_wanted()
        return lease.expires_at.timestamp() < time.time()

    def guard_round(self) -> None:
        """A run of the DAG ``registry_guard``."""
        try:
            run_id = self.airflow.api.trigger(GUARD_DAG, {})
            wait_for(lambda: self.airflow.api.run_state(GUARD_DAG, run_id) in FINISHED_RUN_STATES, 90)
        except (ApiUnavailableError, TimeoutError):
            return

    def finish_run(self, run: str) -> str:
        """Let the run go on to its end; mark it as failed if it does not come to one."""
        self.airflow.api.unpause(DAG)
        try:
            wait_for(self._ended, 90)
        except TimeoutError:
            self.airflow.api.mark_failed(DAG, self.run_id)
            wait_for(self._ended, 90)
            return f"{run}, marked failed at last" if run else ""
        return self.run_state()

    def _ended(self) -> bool:
        if self.run_state() not in FINISHED_RUN_STATES:
            return False
        try:
            tasks = self.airflow.api.task_instances(DAG, self.run_id)
        except ApiUnavailableError:
            return False
        return all(task.state in FINISHED_TASK_STATES for task in tasks)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Return when the condition is true.

    :raises TimeoutError: if it is not in that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(_POLL_SECONDS)
