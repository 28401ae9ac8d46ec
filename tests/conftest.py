"""Airflow for the tests: a home of its own in each test process, nothing inherited, set before anything imports it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from faults.in_process.airflow_home import DATABASE_VARIABLE, make_database, use_home  # noqa: E402 - found by the path above

# Each worker of pytest-xdist loads this file anew and so gets a home of its own.
_HOME = Path(tempfile.mkdtemp(prefix="registry-prune-airflow-"))
try:
    use_home(_HOME)
except RuntimeError as _error:
    raise pytest.UsageError(f"tests/conftest.py comes too late: {_error}") from _error

STARTING_FIXTURES = {"airflow_database", "sandbox", "server", "api", "world"}
"""Each starts an Airflow's database, a sandbox or a part of one; so does whatever asks for it."""
NOT_QUICK = (
    "benchmarks/",
    "dags/",
    "distributed/",
    "local_airflow/",
    "registry_prune/deletion/test_detached_delete.py",
    "registry_prune/verdict/test_references_memory.py",
    "registry_prune/whole_runs/",
    "sandbox/cluster/",
    "sandbox/real_registry/",
)
"""Folders whose tests start something themselves, and two files that take as long: real shells, a million digests."""
STARTING_MARKS = ("airflow", "distributed", "fuzz", "sbom", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``pure`` what starts neither a sandbox nor an Airflow: nobody has to remember it."""
    not_quick = tuple(str(PROJECT / "tests" / path) + ("/" if path.endswith("/") else "") for path in NOT_QUICK)
    for item in items:
        starts = (
            STARTING_FIXTURES.intersection(getattr(item, "fixturenames", ()))
            or str(item.path).startswith(not_quick)
            or any(item.get_closest_marker(name) for name in STARTING_MARKS)
        )
        if not starts:
            item.add_marker("pure")


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's metadata database, for tests that run a DAG in this process."""
    if DATABASE_VARIABLE not in os.environ:
        from sqlalchemy import Engine, event

        # A run commits 150 times. Nothing has to outlive a crash of this machine, so no commit waits for its disk.
        event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    make_database()
