from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local_airflow.instance import processes
from local_airflow.instance.processes import ProcessIdentity

TREE = Path(__file__).parent / "process_tree.py"
ROLES = ("main", "child", "stubborn", "orphan")

WaitFor = Callable[..., None]


def pids(folder: Path) -> dict[str, int]:
    return {file.stem: int(file.read_text()) for file in folder.glob("*.pid")}


def complete(folder: Path) -> bool:
    return set(ROLES) <= set(pids(folder))


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def living(folder: Path) -> list[str]:
    return [role for role, pid in pids(folder).items() if role in ROLES and lives(pid)]


@pytest.fixture
def tree(state_root: Path, wait_for: WaitFor) -> Iterator[Path]:
    """A running tree of processes; one has left the session, one ignores SIGTERM, one lost its parent."""
    state_root.mkdir()
    environment = processes.with_mark(os.environ, state_root, "airflow")
    command = [sys.executable, str(TREE), "main", str(state_root)]
    main = processes.start(command, environment, state_root / "tree.log", state_root)
    wait_for(lambda: complete(state_root), "the tree of processes")
    # Which lost its parent when that ended, a moment after it had said hello itself.
    wait_for(lambda: len(processes.marked(state_root)) == len(ROLES), "the orphan's parent to end")
    yield state_root
    main.kill()
    main.wait()


def test_a_whole_tree_is_ended(tree: Path) -> None:
    assert sorted(living(tree)) == sorted(ROLES)
    assert processes.end_all(lambda: processes.marked(tree), patience_seconds=1.0) == []
    assert living(tree) == []


def test_only_the_named_part_is_ended(tree: Path) -> None:
    assert processes.marked(tree, "sandbox") == []
    assert len(processes.marked(tree, "airflow")) == len(ROLES)
    assert processes.marked(tree.parent) == []


def test_processes_of_the_sandbox_s_pods_belong_to_the_state_folder(state_root: Path, wait_for: WaitFor) -> None:
    state_root.mkdir()
    environment = {**os.environ, "SANDBOX_STATE": str(state_root / "sandbox")}
    child = processes.start(["sleep", "600"], environment, state_root / "pod.log", state_root)
    try:
        wait_for(lambda: processes.marked(state_root), "the pod's process to show its environment")
        assert [process.pid for process in processes.marked(state_root)] == [child.pid]
        assert processes.marked(state_root, "airflow") == []
    finally:
        child.kill()
        child.wait()


def test_ctrl_c_ends_a_whole_tree_and_a_second_one_does_not_spoil_it(state_root: Path, wait_for: WaitFor) -> None:
    state_root.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(TREE), "supervise", str(state_root)]
    supervisor = subprocess.Popen(command, env=environment)
    try:
        wait_for(lambda: complete(state_root), "the tree of processes")
        supervisor.send_signal(signal.SIGINT)
        wait_for(lambda: "cleaning" in pids(state_root), "the cleaning up to begin")
        supervisor.send_signal(signal.SIGINT)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
        assert living(state_root) == []
    finally:
        supervisor.kill()
        supervisor.wait()


def test_the_terminal_s_own_ctrl_c_does_not_reach_children(state_root: Path) -> None:
    state_root.mkdir()
    child = processes.start(["sleep", "600"], os.environ, state_root / "log", state_root)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        child.kill()
        child.wait()


def test_identity_finds_its_process_and_no_later_one_with_the_same_number(state_root: Path, wait_for: WaitFor) -> None:
    state_root.mkdir()
    child = processes.start(["sleep", "600"], os.environ, state_root / "log", state_root)
    try:
        identity = ProcessIdentity.of("sleep", child.pid)
        found = identity.find()
        assert found is not None
        assert found.pid == child.pid
        earlier = replace(identity, started=identity.started - 3600)
        assert earlier.find() is None
        assert processes.with_descendants([earlier]) == []
    finally:
        child.kill()
    wait_for(lambda: identity.find() is None, "the process to end, though nobody asked how")
    child.wait()
    assert identity.find() is None


def test_descendants_are_found_without_a_mark(state_root: Path, wait_for: WaitFor) -> None:
    state_root.mkdir()
    command = [sys.executable, str(TREE), "main", str(state_root)]
    child = processes.start(command, os.environ, state_root / "log", state_root)
    try:
        wait_for(lambda: complete(state_root), "the tree of processes")
        identity = ProcessIdentity.of("main", child.pid)
        found = {process.pid for process in processes.with_descendants([identity])}
        written = pids(state_root)
        assert {written[role] for role in ("main", "child", "stubborn")} <= found
    finally:
        for pid in pids(state_root).values():
            os.kill(pid, signal.SIGKILL)
        child.wait()


def test_what_cannot_be_ended_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Immortal:
        pid = 4711

        def status(self) -> str:
            return "disk-sleep"

        def cmdline(self) -> list[str]:
            return ["airflow", "scheduler"]

        def terminate(self) -> None: ...

        def kill(self) -> None: ...

    monkeypatch.setattr(processes, "KILL_LIMIT_SECONDS", 0.2)
    immortal = Immortal()
    assert processes.end_all(lambda: [immortal], patience_seconds=0.1) == ["4711 (airflow scheduler)"]
