"""The suite's own tests of what asks Airflow's database, on PostgreSQL: elsewhere they have SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from faults.in_process.airflow_home import DATABASE_VARIABLE
from local_airflow.distributed.services import Services, missing

PROJECT = Path(__file__).parents[2]
FILES = (
    "tests/dags/test_before_window.py",
    "tests/registry_prune/page/test_alert.py",
    "tests/registry_prune/page/test_app.py",
    "tests/registry_prune/tasks/test_guard.py",
    "tests/registry_prune/whole_runs/test_one_cluster.py",
    "tests/registry_prune/whole_runs/test_slices.py",
)
"""The page's queries, the runs that an alert begins, questions to people, what tasks ask of other runs; whole runs."""

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(3600)]


def test_what_asks_airflows_database_does_so_on_postgresql(tmp_path: Path) -> None:
    assert missing() == [], "make distributed says what to install"
    with Services({"PATH": "/usr/bin:/bin"}).running() as services:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--basetemp={tmp_path / 'tests'}",
                *FILES,
            ],
            cwd=PROJECT,
            env={**os.environ, DATABASE_VARIABLE: services.database_url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20_000:]
        with create_engine(services.database_url).connect() as database:
            runs = database.scalar(text("SELECT count(*) FROM dag_run"))
    assert runs, "they had another database"
