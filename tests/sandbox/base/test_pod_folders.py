"""Where the sandbox keeps the files of its pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.base.paths import StateDirectory
from sandbox.base.pod_folders import make_pod_folders, remove_pod_folders


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    root = tmp_path / "state"
    root.mkdir()
    return StateDirectory(root)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


def test_they_are_in_memory_and_leave_nothing_there(state: StateDirectory, memory: Path) -> None:
    make_pod_folders(state, memory)
    state.pod("some-uid").mkdir()
    assert [entry.parent.parent for entry in memory.glob("*/some-uid")] == [memory]
    remove_pod_folders(state)
    assert list(memory.iterdir()) == []
    assert not state.pods.is_symlink()


def test_what_a_killed_sandbox_has_left_is_gone_when_the_next_one_starts(state: StateDirectory, memory: Path) -> None:
    make_pod_folders(state, memory)
    state.pod("some-uid").mkdir()
    make_pod_folders(state, memory)
    assert len(list(memory.iterdir())) == 1
    assert list(state.pods.iterdir()) == []


def test_without_a_file_system_in_memory_they_are_on_the_disk(state: StateDirectory, tmp_path: Path) -> None:
    make_pod_folders(state, tmp_path / "absent")
    state.pod("some-uid").mkdir()
    make_pod_folders(state, tmp_path / "absent")
    assert list(state.pods.iterdir()) == []
    remove_pod_folders(state)
    assert list(state.root.iterdir()) == []
