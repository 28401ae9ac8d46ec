"""The real DAG, run twice on a cluster that a kubeconfig leads to: a sandbox that nobody throws away in between."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_airflow.clusters.sandbox_cluster import SandboxCluster
from local_airflow.instance import processes
from local_airflow.instance.state import StateFolder
from local_airflow.interruption import Interruption

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(2400)]

PROJECT = Path(__file__).parents[3]
ORPHANS = 120
"""From 100 blobs on a delete tells how quick the storage is."""


class RealCluster:
    """A cluster with orphaned blobs.

    :param kubeconfig: of the account that ``deploy/rbac.yaml`` makes.
    """

    def __init__(self, folder: Path, interruption: Interruption) -> None:
        self._state = StateFolder(folder)
        self._sandbox = SandboxCluster(self._state, PROJECT, interruption)
        self.kubeconfig = self._state.kubeconfig

    def __enter__(self) -> RealCluster:
        self._state.root.mkdir()
        self._sandbox.prepare(["--images", "3", "--orphans", str(ORPHANS)])
        return self

    def __exit__(self, *exception: object) -> None:
        self._sandbox.down()
        processes.end_all(lambda: processes.marked(self._state.root))

    def get_dirty_again(self) -> None:
        """New orphans, as many as there were."""
        seed = ["seed", "--images", "3", "--orphans", str(ORPHANS), "--seed", "2"]
        command = [sys.executable, "-m", "sandbox", "--state", str(self._state.sandbox), *seed]
        subprocess.run(command, cwd=PROJECT, check=True, timeout=120, stdout=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RealCluster]:
    with Interruption() as interruption, RealCluster(tmp_path / "cluster", interruption) as running:
        yield running


def run(cluster: RealCluster, state_root: Path, *options: str) -> str:
    """What ``run`` printed. A registry of orphans alone is past a ceiling, so each run passes that one."""
    command = [sys.executable, "-m", "local_airflow", "run", "--state", str(state_root), "--pass", "orphan_share"]
    done = subprocess.run(
        [*command, "--kubeconfig", str(cluster.kubeconfig), *options],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
        timeout=900,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def what_gates_said(state_root: Path, printed: str) -> str:
    """The log of the gate before the window."""
    [run_id] = re.findall(r"triggered registry_prune: (\S+)", printed)
    folder = state_root / "airflow" / "logs" / "dag_id=registry_prune" / f"run_id={run_id}" / "task_id=survey_gate"
    return "".join(file.read_text(encoding="utf-8") for file in folder.iterdir())


def test_a_later_run_on_a_cluster_knows_the_earlier_one_and_its_list_is_still_there(
    cluster: RealCluster, state_root: Path
) -> None:
    pruned = run(cluster, state_root, "--mode", "prune", "--param", "min_blobs=100")
    assert f"{ORPHANS} of {ORPHANS} candidates deleted" in pruned
    assert re.search(r"ceilings passed by admin +orphan_share", pruned)
    assert f"kept in {state_root}" in pruned
    assert "this cluster has no earlier delete" in what_gates_said(state_root, pruned)
    [listed] = re.findall(r"^ +list of candidates +(\S+)$", pruned, re.MULTILINE)

    cluster.get_dirty_again()
    looked = run(cluster, state_root)
    assert "by 1 earlier delete of this cluster" in what_gates_said(state_root, looked)
    assert Path(listed.removeprefix("file://")).is_file()
    assert "by 1 earlier delete" not in what_gates_said(state_root, pruned), "the log of the first is its own"
