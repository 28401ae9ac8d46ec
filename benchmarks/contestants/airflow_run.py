"""This project, in a real Airflow of several processes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import PROJECT
from benchmarks.contestants.contestant import MIN_BLOBS, Arena, Kubectl
from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import AirflowInstance, free_port
from local_airflow.instance.environment import AirflowSettings, KubernetesConnection
from local_airflow.instance.rest import FINISHED_RUN_STATES, AirflowApi, wait_for
from local_airflow.interruption import Interruption

DAG = "registry_prune"
RUN_SECONDS = 3600.0
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.25
SETTINGS: dict[str, Any] = {"ceilings": {"orphan_share": 1, "removed_repositories": 1_000_000, "earlier_runs": 1e9}}
"""Of the cluster, in ``clusters.yaml``: the project's defaults, but for ceilings that 200,000 orphans among few images
are more than. They are looked at all the same."""
CONF: dict[str, Any] = {"base_prune": False, "min_blobs": MIN_BLOBS}
"""Of the run. The base prune is left out for all contestants; it comes before the window."""
SMALL_IMAGE = "registry.test/registry-prune-small:1"
"""The sandbox's nodes run this project's own program in a pod of it."""
WARM_UP: dict[str, Any] = {"base_prune": False, "dry_run_only": True, "integrity_check": False}


class AirflowRun:
    """A run of the DAG, triggered over Airflow's REST API.

    :param recommended: Airflow with the settings of ``deploy/values.yaml``; False, with its own defaults.
    :param scans_again: the dry run is done again inside the window, as the documentation has it.
    :param by_list: it deletes by the list, in a pod of its own.
    :param clusters: so many entries are in ``clusters.yaml``; all but one are paused.
    """

    user = "system:serviceaccount:registry-prune:registry-prune"

    def __init__(
        self, *, recommended: bool, scans_again: bool = False, by_list: bool = False, clusters: int = 1
    ) -> None:
        self.recommended = recommended
        self.by_list = by_list
        self._clusters = clusters
        self.name = "this project"
        self.name += "" if recommended else ", Airflow's defaults"
        self.name += ", with a second scan" if scans_again else ""
        self.name += ", by the list" if by_list else ""
        self.name += f", {clusters} clusters" if clusters > 1 else ""
        self._conf = CONF | ({"delete_by": "list"} if by_list else {})
        self._settings = SETTINGS | ({"small_image": SMALL_IMAGE} if by_list else {})
        self._settings |= {"dry_run_in_window": "always"} if scans_again else {}

    @contextmanager
    def ready(self, arena: Arena) -> Iterator[None]:
        """An Airflow that has run the DAG once: a dry run, so that nothing is done for the first time."""
        folder = arena.folder / f"airflow-{time.time_ns()}"
        folder.mkdir()
        try:
            instance = self._airflow(arena, folder)
            with instance.healthy() as self._identities:
                self.api = AirflowApi(instance.settings.url, timeout_seconds=_ANSWER_SECONDS)
                wait_for(lambda: self.api.knows_dag(DAG), _START_SECONDS)
                self.api.unpause(DAG)
                self._run(WARM_UP)
                yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self) -> None:
        """Trigger, and wait for the run's end."""
        self.run_id = self._run(self._conf)

    def processes(self) -> Iterable[psutil.Process]:
        """Scheduler, api-server, dag-processor, triggerer and all that they have started."""
        return processes.with_descendants(self._identities)

    def _run(self, conf: dict[str, Any]) -> str:
        """Let a run come to its end; returns its id.

        :raises RuntimeError: if it fails.
        """
        run_id = self.api.trigger(DAG, conf)
        wait_for(
            lambda: self.api.run_state(DAG, run_id) in FINISHED_RUN_STATES, RUN_SECONDS, pause_seconds=_POLL_SECONDS
        )
        state = self.api.run_state(DAG, run_id)
        if state != "success":
            failed = [each for each in self.api.task_instances(DAG, run_id) if each.state == "failed"]
            logs = [line.text for each in failed for line in self.api.log(DAG, run_id, each).lines[-5:]]
            raise RuntimeError(f"the run ended as {state}; {', '.join(each.name for each in failed)}: {logs}")
        return run_id

    def _airflow(self, arena: Arena, folder: Path) -> AirflowInstance:
        for rights in ("rbac.yaml", *(["exact-delete-rbac.yaml"] if self.by_list else [])):
            Kubectl(arena).apply(PROJECT / "deploy" / rights)
        clusters = folder / "clusters.yaml"
        others = {f"cluster-{number}": {"connection": f"cluster-{number}"} for number in range(1, self._clusters)}
        clusters.write_text(yaml.safe_dump({"default": self._settings, **others}), encoding="utf-8")
        account = arena.sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
        settings = AirflowSettings(
            home=folder / "airflow",
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            connection=KubernetesConnection(str(account)),
            clusters_file=clusters,
            recommended=self.recommended,
        )
        return AirflowInstance(settings, folder, Interruption())
