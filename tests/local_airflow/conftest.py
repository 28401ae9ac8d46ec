"""What the tests of the local Airflow share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local_airflow.instance import processes

WaitFor = Callable[..., None]
LONGEST_WAIT_SECONDS = 240.0
"""Shorter than a test may take, so that the test says what it waited for. A busy machine needs minutes for what an idle
one does in seconds; a test waits as long as this only if something is wrong."""


@pytest.fixture
def wait_for() -> WaitFor:
    """``wait_for(condition, what)``: return when the condition holds; fail the test if it never does."""

    def wait(condition: Callable[[], object], what: str, seconds: float = LONGEST_WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Of Airflow's tables what is touched; a whole run on a real database is in ``commands/test_run.py``."""
    file = tmp_path / "airflow.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE dag_run (id INTEGER PRIMARY KEY, run_id TEXT, state TEXT, end_date TEXT);
            CREATE TABLE task_instance (task_id TEXT, state TEXT, start_date TEXT, end_date TEXT, trigger_id INTEGER);
            CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT, end_date TEXT);
            CREATE TABLE "trigger" (id INTEGER PRIMARY KEY);
            CREATE TABLE import_error (id INTEGER PRIMARY KEY);
            """
        )
    return file


@pytest.fixture
def state_root(tmp_path: Path) -> Iterator[Path]:
    """A folder for a state; whatever still runs in it after the test is ended."""
    root = tmp_path / "state"
    yield root
    processes.end_all(lambda: processes.marked(root), patience_seconds=0.0)
