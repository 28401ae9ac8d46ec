"""A real Airflow of several processes, which serves one fault after the other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from faults import PROJECT
from faults.arena.arena import SETTINGS
from faults.processes.points import FOLDER_VARIABLE, Points
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import COMMANDS, AirflowInstance, free_port
from local_airflow.instance.environment import AirflowSettings, KubernetesConnection
from local_airflow.instance.rest import AirflowApi, wait_for
from local_airflow.interruption import Interruption

DAG, GUARD_DAG = "registry_prune", "registry_guard"
_HEARTBEAT_SECONDS = 30
"""A task without a sign of life for this time is taken for dead; 300 s by default. Shortened, as the lease is."""
_ANSWER_SECONDS = 120.0
"""Patience with an api-server beside which other faults are tried."""


class Api(AirflowApi):
    """What the sweep does beyond a user's tool."""

    def pause(self, dag_id: str) -> None:
        """Let nothing of the DAG be scheduled any more."""
        self._set_paused(dag_id, paused=True)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """As the button in the UI: the task is to run again, with its setups and its teardown."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self._request("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """As the button in the UI.

        :param state: ``success``, ``failed`` or ``skipped``.
        """
        self._request("PATCH", f"{self._run_path(dag_id, run_id)}/taskInstances/{task_id}", {"new_state": state})

    def trigger_as(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run with this id."""
        body = {"logical_date": None, "conf": dict(conf), "dag_run_id": run_id}
        return str(self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def backfill(self, dag_id: str, days: int, conf: Mapping[str, Any]) -> None:
        """Let the runs of the last days be made up for, all at once.

        :raises LocalAirflowError: the DAG refuses it.
        """
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        body = {
            "dag_id": dag_id, "from_date": (today - timedelta(days=days)).isoformat(), "to_date": today.isoformat(),
            "max_active_runs": days, "dag_run_conf": dict(conf),
        }  # fmt: skip
        self._request("POST", "/api/v2/backfills", body)

    def run_ids(self, dag_id: str, states: Sequence[str] = ()) -> list[str]:
        """The runs of a DAG, those in these states alone if any are named."""
        listed = self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns", parameters={"limit": "100"})["dag_runs"]
        return [str(run["dag_run_id"]) for run in listed if not states or run["state"] in states]


class RealAirflow:
    """Airflow's four processes, from entering to leaving the ``with`` block.

    :param folder: new and empty; marks the processes.
    :param settings: of the cluster, that differ.
    :param entries: further entries of ``clusters.yaml``, by name, with what differs from the first one.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._folder = folder.resolve()
        self.kubeconfig = self._folder / "kubeconfig"
        self._clusters = self._folder / "clusters.yaml"
        self._entries = {name: {**SETTINGS, **settings, **entry} for name, entry in (entries or {}).items()}
        self._entries["default"] = {**SETTINGS, **settings}
        self._write_clusters()
        self.points = Points(self._folder / "points")
        self.home = self._folder / "airflow"
        airflow = AirflowSettings(
            home=self.home,
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            connection=KubernetesConnection(str(self.kubeconfig)),
            clusters_file=self._clusters,
            overrides={
                FOLDER_VARIABLE: str(self._folder / "points"),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(self._plugins()),
                # Entries are renamed in mid-run.
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
                "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_HEARTBEAT_SECONDS),
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            },
        )
        self._instance = AirflowInstance(airflow, self._folder, Interruption())
        self._identities: dict[str, processes.ProcessIdentity] = {}

    def _write_clusters(self) -> None:
        self._clusters.write_text(self._clusters_text, encoding="utf-8")

    @property
    def _clusters_text(self) -> str:
        return yaml.safe_dump(self._entries)

    def rename_entry(self, name: str, new_name: str) -> None:
        """Somebody renames an entry of ``clusters.yaml``: the DAGs of its run and its guard have other ids now."""
        renamed = {new_name if each == name else each: entry for each, entry in self._entries.items()}
        self._clusters.write_text(yaml.safe_dump(renamed), encoding="utf-8")

    def reset_entries(self) -> None:
        """Undo :meth:`rename_entry`."""
        if self._clusters.read_text(encoding="utf-8") == self._clusters_text:
            return
        self._write_clusters()
        wait_for(lambda: self.api.knows_dag(DAG) and self.api.knows_dag(GUARD_DAG), 180)

    def _plugins(self) -> Path:
        """The project's plugins, and one more."""
        folder = self._folder / "plugins"
        folder.mkdir()
        for plugin in (PROJECT / "plugins").glob("*"):
            (folder / plugin.name).symlink_to(plugin)
        listener = "from faults.processes.task_listener import FaultPoints\n"
        (folder / "fault_points.py").write_text(listener, encoding="utf-8")
        return folder

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._identities = {each.name: each for each in stack.enter_context(self._instance.healthy())}
            self.api = Api(self._instance.settings.url, timeout_seconds=_ANSWER_SECONDS)
            wait_for(lambda: self.api.knows_dag(DAG) and self.api.knows_dag(GUARD_DAG), 60)
            for dag_id in (DAG, GUARD_DAG):
                self.api.unpause(dag_id)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def kill(self, name: str) -> None:
        """Kill -9 of the scheduler, the api-server …; of the api-server its children too."""
        process = self._identities[name].find()
        assert process is not None, f"{name} does not live"
        children = process.children(recursive=True) if name == "api-server" else []
        for each in [process, *children]:
            each.kill()
        process.wait(10)

    def lives(self, name: str) -> bool:
        """Whether that process is there."""
        return self._identities[name].find() is not None

    def kill_everything(self) -> None:
        """Kill -9 of all of it, tasks and supervisors too: the machine that Airflow ran on is gone."""
        killed = processes.marked(self._folder, "airflow")
        for process in killed:
            process.kill()
        for process in killed:
            with suppress(Exception):
                process.wait(10)

    def start(self, name: str) -> None:
        """Start it again."""
        self._identities[name] = self._instance.start_process(name)

    def start_missing(self) -> None:
        """Start again whatever does not live, and wait until all is well."""
        for name in COMMANDS:
            if self._identities[name].find() is None:
                self.start(name)
        self._instance.wait_until_healthy()

    def end_strays(self) -> None:
        """Kill whatever is of this Airflow and no child of its four processes: tasks that outlived a supervisor."""
        kept = {each.pid for each in processes.with_descendants(self._identities.values())}
        for process in processes.marked(self._folder, "airflow"):
            if process.pid not in kept:
                with suppress(Exception):
                    process.kill()

    def keep_logs(self, folder: Path) -> None:
        """Copy what Airflow has logged so far."""
        shutil.copytree(self.home / "logs", folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
