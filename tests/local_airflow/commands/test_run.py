"""A real Airflow of all its processes runs a small DAG."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from local_airflow.instance import processes

WaitFor = Callable[..., None]

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(2400)]

LONGEST_RUN_SECONDS = 900
"""An idle machine needs 20 s for a run; one with ten times as much to do as it has cores took 250."""


@pytest.fixture
def command(tmp_path: Path, state_root: Path) -> list[str]:
    """``run`` with the small DAG, on a cluster that nothing asks."""
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "small_dag.py", dags)
    kubeconfig = tmp_path / "kubeconfig"
    named = {"current-context": "none", "contexts": [{"name": "none", "context": {"cluster": "none"}}]}
    clusters = [{"name": "none", "cluster": {"server": "https://none:6443"}}]
    kubeconfig.write_text(yaml.safe_dump({**named, "clusters": clusters}))
    arguments = ["--state", str(state_root), "--kubeconfig", str(kubeconfig), "--dags-folder", str(dags)]
    return [sys.executable, "-m", "local_airflow", "run", *arguments, "--mode", "prune"]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@contextlib.contextmanager
def lingering_run(
    command: list[str], environment: dict[str, str], folder: Path, output: Path, wait_for: WaitFor
) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose task does not end, seen at work; killed at the end."""
    with output.open("wb") as stream:
        tool = subprocess.Popen(
            [*command, "--param", f"linger_in={folder}"], env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        wait_for(
            lambda: (folder / "lingering").exists() or tool.poll() is not None, "the task to run", LONGEST_RUN_SECONDS
        )
        assert tool.poll() is None, output.read_text()
        yield tool
    finally:
        tool.kill()
        tool.wait()


def test_ctrl_c_in_the_middle_of_a_task_lets_the_teardown_run_and_leaves_nothing_running(
    command: list[str], environment: dict[str, str], state_root: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    output = tmp_path / "output"
    with lingering_run(command, environment, tmp_path, output, wait_for) as tool:
        tool.send_signal(signal.SIGINT)
        assert tool.wait(LONGEST_RUN_SECONDS) == 128 + signal.SIGINT, output.read_text()
    assert (tmp_path / "restored").exists(), output.read_text()
    assert "The run ended as failed." in output.read_text()
    assert processes.marked(state_root) == []


def test_a_run_that_was_killed_is_not_gone_on_with_and_the_next_is_followed_to_its_report(
    command: list[str], environment: dict[str, str], state_root: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    with lingering_run(command, environment, tmp_path, tmp_path / "output", wait_for):
        pass
    (tmp_path / "lingering").unlink()
    done = subprocess.run(
        command,
        env=environment,
        check=False,
        timeout=LONGEST_RUN_SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "hard_prune          success in" in done.stdout
    assert "8 of 8 blobs deleted (100 %), 4 blobs/s" in done.stdout
    assert "orphans found  8 blobs, about 2.0 KiB" in done.stdout
    assert "nothing is left running" in done.stdout
    assert processes.marked(state_root) == []
    killed, finished = runs(state_root)
    assert f"is marked failed, and nothing goes on with it: {killed[0]}." in done.stdout
    assert (killed[1], finished[1]) == ("failed", "success")
    assert tasks(state_root, killed[0]) == {
        "set_read_only": "success",
        "hard_prune": "failed",
        "restore_read_write": "skipped",
        "report": "skipped",
    }
    assert not (tmp_path / "lingering").exists()
    assert not (tmp_path / "restored").exists()


def runs(state_root: Path) -> list[tuple[str, str]]:
    """The ids and states of all runs, the oldest first."""
    return query(state_root, "SELECT run_id, state FROM dag_run ORDER BY id")


def tasks(state_root: Path, run_id: str) -> dict[str, str]:
    """The states of a run's tasks."""
    return dict(query(state_root, "SELECT task_id, state FROM task_instance WHERE run_id = ?", run_id))


def query(state_root: Path, statement: str, *values: str) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(state_root / "airflow" / "airflow.db")) as connection:
        return connection.execute(statement, values).fetchall()
