"""A real Airflow of all its processes runs a small DAG."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from local_airflow import processes

WaitFor = Callable[[Callable[[], object], str], None]

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]


@pytest.fixture
def command(tmp_path: Path, state_root: Path) -> list[str]:
    """``run`` with the small DAG, on a cluster that nothing asks."""
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "small_dag.py", dags)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump({"current-context": "none", "contexts": [{"name": "none"}]}))
    arguments = ["--state", str(state_root), "--kubeconfig", str(kubeconfig), "--dags-folder", str(dags)]
    return [sys.executable, "-m", "local_airflow", "run", *arguments, "--mode", "prune"]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_run_is_followed_to_its_report_and_leaves_nothing_running(
    command: list[str], environment: dict[str, str], state_root: Path
) -> None:
    done = subprocess.run(
        command, env=environment, check=False, timeout=200, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "hard_prune          success in" in done.stdout
    assert "8 of 8 blobs deleted (100 %), 4 blobs/s" in done.stdout
    assert "orphans found     8 blobs, about 2.0 KiB" in done.stdout
    assert "nothing is left running" in done.stdout
    assert processes.marked(state_root) == []


def test_ctrl_c_in_the_middle_of_a_task_lets_the_teardown_run_and_leaves_nothing_running(
    command: list[str], environment: dict[str, str], state_root: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    output = tmp_path / "output"
    with output.open("wb") as stream:
        tool = subprocess.Popen(
            [*command, "--param", f"linger_in={tmp_path}"], env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: (tmp_path / "lingering").exists() or tool.poll() is not None, "the task to run")
        assert tool.poll() is None, output.read_text()
        tool.send_signal(signal.SIGINT)
        assert tool.wait(150) == 128 + signal.SIGINT, output.read_text()
    finally:
        tool.kill()
        tool.wait()
    assert (tmp_path / "restored").exists(), output.read_text()
    assert "The run ended as failed." in output.read_text()
    assert processes.marked(state_root) == []
