"""Orders of faults for pruners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.base.paths import StateDirectory
from sandbox.registry.faults import PrunerFaults


def test_faults_survive_being_written(tmp_path: Path) -> None:
    faults = PrunerFaults(modes=("delete",), seconds_per_blob=0.5, fail_delete_after_blobs=3, stdout="told")
    state = StateDirectory(tmp_path)
    faults.write(state)
    assert PrunerFaults.read(state.pruner_faults) == faults
    assert PrunerFaults.read(tmp_path / "nowhere.json") == PrunerFaults()


def test_faults_are_for_modes_that_there_are() -> None:
    with pytest.raises(ValueError, match="modes has prune; there are check, delete"):
        PrunerFaults(modes=("prune",))


def test_faults_may_come_from_a_command_line() -> None:
    typed: Any = PrunerFaults
    assert typed(modes="delete").modes == ("delete",)
    assert typed(modes=["check", "delete"]).modes == ("check", "delete")
    with pytest.raises(ValueError, match="seconds_per_blob is 'slow'; it has to be a number"):
        typed(seconds_per_blob="slow")
