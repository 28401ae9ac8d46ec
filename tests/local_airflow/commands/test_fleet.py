"""Five clusters under one real Airflow, read-only at the same time, two of them with faults; and a sixth meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_airflow.instance import processes
from local_airflow.instance.airflow_instance import AirflowInstance, free_port
from local_airflow.instance.environment import AirflowSettings, KubernetesConnection
from local_airflow.instance.rest import FINISHED_RUN_STATES, AirflowApi, wait_for
from local_airflow.interruption import Interruption
from sandbox.cluster import Sandbox
from sandbox.registry.faults import DELETE, PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import IMAGES, PROJECT, kubectl, start_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(3000)]

CONFIGS = "configs.imageregistry.operator.openshift.io"
SECONDS_PER_BLOB = 0.3
"""So that a delete lasts as long as it takes the others to open their windows."""
PATIENCE_SECONDS = 1500.0
CONF = {"base_prune": False, "integrity_check": False, "min_blobs": 10}


@dataclass(frozen=True)
class Planned:
    """A cluster, and what has to become of its run.

    :param fault: what befalls its delete.
    """

    orphans: int
    fault: PrunerFaults
    state: str = "success"
    deleted: int | None = None


def slow(**faults: Any) -> PrunerFaults:
    return PrunerFaults(modes=(DELETE,), seconds_per_deletion=SECONDS_PER_BLOB, **faults)


FLEET = {
    "berlin": Planned(40, slow()),
    "munich": Planned(50, slow(fail_delete_after_blobs=20), "failed", deleted=21),
    "hamburg": Planned(60, slow(kill_after_blobs=15), "failed", deleted=30),
    "dresden": Planned(44, slow()),
    "bremen": Planned(48, slow()),
}
SIXTH = Planned(40, slow())
FOUR_LINES = """\
sixth:
  connection: kubernetes_sixth
  parameters:
    min_blobs: 20
"""


class Fleet:
    """The sandboxes, and the Airflow that prunes them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self.sandboxes: dict[str, Sandbox] = {}
        connections = {}
        for number, (name, planned) in enumerate({**FLEET, "sixth": SIXTH}.items(), start=1):
            sandbox = stack.enter_context(start_sandbox(folder / name))
            sandbox.set_cluster_id(f"00000000-0000-4000-8000-{number:012}")
            kubectl(sandbox.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"))
            sandbox.seed(SeedPlan(images=IMAGES, orphans=planned.orphans, seed=number))
            sandbox.order_pruner(planned.fault)
            account = sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
            connections[f"AIRFLOW_CONN_KUBERNETES_{name.upper()}"] = KubernetesConnection(str(account))
            self.sandboxes[name] = sandbox
        self.clusters = folder / "clusters.yaml"
        shared = {"artifacts": str(folder / "artifacts"), "delete_attempts": 2}
        entries = {"defaults": shared, **{name: {"connection": f"kubernetes_{name}"} for name in FLEET}}
        self.clusters.write_text(yaml.safe_dump(entries), encoding="utf-8")
        settings = AirflowSettings(
            home=folder / "airflow",
            project=PROJECT,
            dags_folder=PROJECT / "dags",
            port=free_port(),
            clusters_file=self.clusters,
            overrides={
                "AIRFLOW__CORE__PARALLELISM": "8",
                **{variable: each.as_airflow_json() for variable, each in connections.items()},
            },
        )
        stack.enter_context(AirflowInstance(settings, folder, Interruption()).healthy())
        self.api = AirflowApi(settings.url, timeout_seconds=120.0)
        stack.callback(self.api.close)

    def add(self, entry: str) -> None:
        """Add an entry to ``clusters.yaml``, as docs/settings.md says."""
        with self.clusters.open("a", encoding="utf-8") as file:
            file.write(entry)
        self.api.parse_again(f"registry_prune_{next(iter(FLEET))}")

    def start(self, name: str) -> str:
        """Begin a run; returns its id."""
        dag_id = f"registry_prune_{name}"
        wait_for(lambda: self.api.knows_dag(dag_id), PATIENCE_SECONDS)
        self.api.unpause(dag_id)
        return self.api.trigger(dag_id, CONF if name != "sixth" else {**CONF, "min_blobs": 20})

    def handed_over(self, name: str, run_id: str, task_id: str) -> dict[str, Any]:
        found = self.api.xcom(f"registry_prune_{name}", run_id, task_id)
        assert isinstance(found, dict), f"{name}: {task_id} handed nothing over"
        return found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    try:
        with ExitStack() as stack:
            yield Fleet(tmp_path, stack)
    finally:
        processes.end_all(lambda: processes.marked(tmp_path), patience_seconds=0.0)


def most_at_once(windows: list[tuple[datetime, datetime]]) -> int:
    """How many windows were open at the same time."""
    return max(sum(begin <= moment < end for begin, end in windows) for moment, _ in windows)


def test_no_run_disturbs_another_and_a_sixth_cluster_is_four_lines(fleet: Fleet) -> None:
    runs = {name: fleet.start(name) for name in FLEET}
    for name, run_id in runs.items():
        wait_for(lambda n=name, r=run_id: fleet.api.xcom(f"registry_prune_{n}", r, "arm_window"), PATIENCE_SECONDS)  # type: ignore[misc]
    assert len(FOUR_LINES.splitlines()) == 4
    fleet.add(FOUR_LINES)
    runs["sixth"] = fleet.start("sixth")
    states = {}
    for name, run_id in runs.items():
        dag_id = f"registry_prune_{name}"
        wait_for(lambda d=dag_id, r=run_id: fleet.api.run_state(d, r) in FINISHED_RUN_STATES, PATIENCE_SECONDS)  # type: ignore[misc]
        states[name] = fleet.api.run_state(dag_id, run_id)

    planned = {**FLEET, "sixth": SIXTH}
    assert states == {name: each.state for name, each in planned.items()}
    windows = []
    for number, (name, each) in enumerate(planned.items(), start=1):
        report = fleet.handed_over(name, runs[name], "report")
        assert (report["cluster"], report["cluster_id"]) == (name, f"00000000-0000-4000-8000-{number:012}")
        assert report["orphaned_blobs"] == each.orphans
        assert report["deleted_blobs"] == (each.orphans if each.deleted is None else each.deleted)
        assert report["outcome"] == ("pruned" if each.state == "success" else "failed")
        verified = fleet.sandboxes[name].verify()
        assert verified.ok or each.state == "failed", (name, verified.problems)
        assert fleet.sandboxes[name].get_object(CONFIGS, "cluster")["spec"].get("readOnly", False) is False
        opened = fleet.handed_over(name, runs[name], "arm_window")["armed_at"]
        closed = fleet.handed_over(name, runs[name], "restore_read_write")["closed_at"]
        windows.append((datetime.fromisoformat(opened), datetime.fromisoformat(closed)))
    assert most_at_once(windows) >= 3, windows
