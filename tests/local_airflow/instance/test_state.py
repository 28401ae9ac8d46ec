from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.processes import ProcessIdentity
from local_airflow.instance.state import InstanceRecord, StateFolder, end_everything, refuse_if_up

WaitFor = Callable[..., None]


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
    with state.locked(), pytest.raises(LocalAirflowError, match=r"at work in .*another --state"), state.locked():
        pass
    with state.locked():
        pass


def test_a_cluster_is_worked_on_by_one_at_a_time_and_named(state: StateFolder) -> None:
    with state.locked():
        state.begin("api.east:6443")
        with pytest.raises(LocalAirflowError, match=r"at work on api\.east:6443, .* wait for its end$"), state.locked():
            pass


def test_the_lock_of_a_killed_process_is_free(state: StateFolder) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from local_airflow.instance.state import StateFolder\n"
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


def left_by_a_start(state: StateFolder) -> tuple[Path, Path]:
    """The files that an Airflow and a sandbox leave: what is kept of a real cluster, and what never is."""
    database, task_log = state.airflow / "airflow.db", state.airflow / "logs" / "dag_id=registry_prune" / "1.log"
    process_log, storage = state.airflow / "logs" / "scheduler.log", state.sandbox / "storage"
    for file in (database, task_log, process_log, storage, state.kubeconfig, state.airflow / "airflow.cfg"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("old")
    return database, task_log


def test_what_a_sandbox_left_is_deleted_and_nothing_else(state: StateFolder) -> None:
    with state.locked():
        left_by_a_start(state)
        note = state.root / "note"
        note.write_text("mine")
        state.begin("")
    assert not state.airflow.exists()
    assert not state.sandbox.exists()
    assert not state.kubeconfig.exists()
    assert note.exists()


def test_the_history_of_a_real_cluster_is_kept_but_not_what_the_last_start_needed(state: StateFolder) -> None:
    with state.locked():
        state.begin("api.east:6443")
        database, task_log = left_by_a_start(state)
        state.begin("api.east:6443")
        assert state.kept_for == "api.east:6443"
        assert [file for file in state.root.rglob("*") if file.is_file() and file.read_text() == "old"] == [
            database,
            task_log,
        ]


@pytest.mark.parametrize("other", ["api.west:6443", ""])
def test_the_history_of_one_cluster_is_neither_another_s_nor_deleted_for_a_sandbox(
    state: StateFolder, other: str
) -> None:
    with state.locked():
        state.begin("api.east:6443")
        database, _ = left_by_a_start(state)
        with pytest.raises(LocalAirflowError, match=r"keeps the history of api\.east:6443"):
            state.begin(other)
    assert database.exists()


def test_what_a_sandbox_left_does_not_become_the_history_of_a_real_cluster(state: StateFolder) -> None:
    with state.locked():
        state.begin("")
        database, _ = left_by_a_start(state)
        state.begin("api.east:6443")
    assert not database.exists()


def test_nobody_else_reads_the_folder_even_if_it_was_open_before(state: StateFolder) -> None:
    state.root.mkdir(mode=0o755)
    with state.locked():
        assert stat.S_IMODE(state.root.stat().st_mode) == 0o700


def test_size_is_that_of_all_files(state: StateFolder) -> None:
    with state.locked():
        state.begin("api.east:6443")
        before = state.size_bytes()
        state.airflow.mkdir()
        state.airflow.joinpath("list").write_bytes(bytes(1000))
        assert state.size_bytes() == before + 1000


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
