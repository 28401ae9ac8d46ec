"""What `up` started on a real cluster is found and ended without naming the cluster, and its record stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_airflow.cli import main
from local_airflow.instance import processes
from local_airflow.instance.processes import ProcessIdentity
from local_airflow.instance.state import InstanceRecord, StateFolder


@pytest.fixture
def airflow_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[StateFolder, subprocess.Popen[bytes]]]:
    """A state folder of a real cluster in which one process runs in the background."""
    monkeypatch.setattr("local_airflow.cli.STATES", tmp_path)
    monkeypatch.setattr("local_airflow.cli.CLUSTER_STATES", tmp_path / "clusters")
    state = StateFolder(tmp_path / "clusters" / "api.east_6443")
    with state.locked():
        state.begin("api.east:6443")
        state.airflow.mkdir()
        (state.airflow / "airflow.db").write_text("history")
        child = processes.start(["sleep", "600"], os.environ, tmp_path / "log", tmp_path)
        identity = ProcessIdentity.of("scheduler", child.pid)
        InstanceRecord("http://127.0.0.1:1", "https://api.east:6443", None, True, [identity]).write(state)
    yield state, child
    child.kill()
    child.wait()


def test_down_ends_it_and_leaves_its_history(airflow_up: tuple[StateFolder, subprocess.Popen[bytes]]) -> None:
    state, child = airflow_up
    assert main(["down"]) == 0
    assert child.wait(60) < 0
    assert not state.record.exists()
    assert (state.airflow / "airflow.db").read_text() == "history"


def test_status_shows_it(
    airflow_up: tuple[StateFolder, subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    assert "Airflow for https://api.east:6443" in capsys.readouterr().out


def test_down_does_not_interrupt_a_run_that_is_at_work(
    airflow_up: tuple[StateFolder, subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    state, child = airflow_up
    with state.locked():
        assert main(["down"]) == 1
    assert "another run of this tool is at work on api.east:6443" in capsys.readouterr().out
    assert child.poll() is None
