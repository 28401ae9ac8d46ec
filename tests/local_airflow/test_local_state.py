from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local_airflow import processes
from local_airflow.errors import LocalAirflowError
from local_airflow.processes import ProcessIdentity
from local_airflow.state import InstanceRecord, StateFolder, end_everything, refuse_if_up

WaitFor = Callable[[Callable[[], object], str], None]


@pytest.fixture
def state(state_root: Path) -> StateFolder:
    return StateFolder(state_root)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = processes.start(["sleep", "600"], os.environ, tmp_path / "log", tmp_path)
    yield child
    child.kill()
    child.wait()


def record(*identities: ProcessIdentity, background: bool = True) -> InstanceRecord:
    return InstanceRecord("http://127.0.0.1:4711", "a sandbox", None, background, list(identities))


def test_a_folder_is_held_by_one_at_a_time(state: StateFolder) -> None:
    with state.locked(), pytest.raises(LocalAirflowError, match="at work in"), state.locked():
        pass
    with state.locked():
        pass


def test_the_lock_of_a_killed_process_is_free(state: StateFolder) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from local_airflow.state import StateFolder\n"
        "with StateFolder(Path(sys.argv[1])).locked():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(state.root)]
    killed = subprocess.run(command, env=environment, check=False, timeout=60)
    assert killed.returncode < 0
    with state.locked():
        pass


def test_somebody_else_s_folder_is_left_alone(state: StateFolder) -> None:
    state.airflow.mkdir(parents=True)
    with pytest.raises(LocalAirflowError, match="holds something else"), state.locked():
        pass
    assert state.airflow.is_dir()


def test_clearing_deletes_what_an_earlier_start_left_and_nothing_else(state: StateFolder) -> None:
    with state.locked():
        (state.airflow / "logs").mkdir(parents=True)
        state.kubeconfig.write_text("old")
        note = state.root / "note"
        note.write_text("mine")
        state.clear()
    assert not state.airflow.exists()
    assert not state.kubeconfig.exists()
    assert note.exists()


def test_record_is_read_as_it_was_written_and_is_private(state: StateFolder) -> None:
    with state.locked():
        written = record(ProcessIdentity.of("this test", os.getpid()))
        written.write(state)
        assert InstanceRecord.read(state) == written
        assert stat.S_IMODE(state.record.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "x"}'])
def test_damaged_record_counts_as_none(state: StateFolder, content: str) -> None:
    state.root.mkdir()
    state.record.write_text(content)
    assert InstanceRecord.read(state) is None


def test_what_is_up_is_not_run_over_but_what_a_killed_run_left_is(
    state: StateFolder, sleeper: subprocess.Popen[bytes]
) -> None:
    identity = ProcessIdentity.of("scheduler", sleeper.pid)
    with state.locked():
        record(identity).write(state)
        with pytest.raises(LocalAirflowError, match="an Airflow is up"):
            refuse_if_up(state)
        record(identity, background=False).write(state)
        refuse_if_up(state)


def test_recorded_process_is_ended(state: StateFolder, sleeper: subprocess.Popen[bytes]) -> None:
    with state.locked():
        record(ProcessIdentity.of("scheduler", sleeper.pid)).write(state)
        assert end_everything(state) == []
    assert sleeper.wait(60) < 0


def test_process_that_only_has_a_recorded_number_is_left_alone(
    state: StateFolder, sleeper: subprocess.Popen[bytes]
) -> None:
    identity = ProcessIdentity.of("scheduler", sleeper.pid)
    with state.locked():
        record(replace(identity, started=identity.started - 3600)).write(state)
        assert end_everything(state) == []
    assert sleeper.poll() is None


def test_process_without_a_record_is_found_by_its_environment(state: StateFolder, wait_for: WaitFor) -> None:
    with state.locked():
        environment = processes.with_mark(os.environ, state.root, "airflow")
        child = processes.start(["sleep", "600"], environment, state.root / "log", state.root)
        wait_for(lambda: processes.marked(state.root), "the process to show its environment")
        assert end_everything(state) == []
    assert child.wait(60) < 0
