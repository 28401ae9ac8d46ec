"""What the tests of the local Airflow share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_airflow import processes

WaitFor = Callable[[Callable[[], object], str], None]


@pytest.fixture
def wait_for() -> WaitFor:
    """``wait_for(condition, what)``: return when the condition holds, fail the test after two minutes."""

    def wait(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, f"waited two minutes for {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def state_root(tmp_path: Path) -> Iterator[Path]:
    """A folder for a state; whatever still runs in it after the test is ended."""
    root = tmp_path / "state"
    yield root
    processes.end_all(lambda: processes.marked(root), patience_seconds=0.0)
