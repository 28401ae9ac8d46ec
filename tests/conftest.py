"""Airflow for the tests: a home of its own in each test process, nothing inherited, set before anything imports it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
_PREFIX = "registry-prune-airflow-"


def _isolate_airflow() -> Path:
    """Point Airflow at a new, empty home; each worker of pytest-xdist loads this file anew and so gets its own."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "_AIRFLOW"))]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        # A file: dag.test() uses several connections, and each would have a database in memory of its own.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        # Which clusters there are is for each test to say.
        "REGISTRY_PRUNE_CLUSTERS": str(home / "clusters.yaml"),
        # For the processes that tests start: `include` is found by it alone.
        "PYTHONPATH": str(PROJECT),
    }
    (home / "clusters.yaml").write_text("default: {}\n", encoding="utf-8")
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    return home


STARTING_FIXTURES = {"airflow_database", "sandbox", "server", "api", "world"}
"""Each starts an Airflow's database, a sandbox or a part of one; so does whatever asks for it."""
NOT_QUICK = (
    "benchmarks/",
    "dags/",
    "local_airflow/",
    "registry_prune/deletion/test_detached_delete.py",
    "registry_prune/verdict/test_references_memory.py",
    "registry_prune/whole_runs/",
    "sandbox/cluster/",
    "sandbox/real_registry/",
)
"""Folders whose tests start something themselves, and two files that take as long: real shells, a million digests."""
STARTING_MARKS = ("airflow", "fuzz", "slow")


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


if "airflow" in sys.modules:
    raise pytest.UsageError("Airflow was imported before tests/conftest.py: it took its settings from this machine.")
_HOME = _isolate_airflow()


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's metadata database, for tests that run a DAG in this process."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb
    from sqlalchemy import Engine, event

    # A run commits 150 times. Nothing has to outlive a crash of this machine, so no commit waits for its disk.
    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    initdb()
    DagBundlesManager().sync_bundles_to_db()
