"""An Airflow of its own for the runs in this process; nothing is inherited. Before anything imports Airflow."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults import PROJECT

DATABASE_VARIABLE = "REGISTRY_PRUNE_TEST_DATABASE"
"""Environment variable with the URL of an empty database, in place of a SQLite file: `make distributed` sets it."""


def use_home(home: Path) -> None:
    """Point Airflow, and the processes that this one starts, at a home; drop every other setting of it.

    :param home: new and empty.
    :raises RuntimeError: if Airflow was imported before.
    """
    if "airflow" in sys.modules:
        raise RuntimeError("Airflow was imported already: it took its settings from this machine")
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "_AIRFLOW"))]:
        del os.environ[name]
    (home / "clusters.yaml").write_text("default: {}\n", encoding="utf-8")
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        # A file: dag.test() uses several connections, and each would have a database in memory of its own.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{home}/airflow.db",
        "REGISTRY_PRUNE_CLUSTERS": str(home / "clusters.yaml"),
        # For processes that are started: `include` is found by it alone.
        "PYTHONPATH": str(PROJECT),
    }


def make_database() -> None:
    """Airflow's metadata database, for runs in this process."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    initdb()
    DagBundlesManager().sync_bundles_to_db()


@contextmanager
def airflow_home() -> Iterator[Path]:
    """A new home with its database, gone at the end.

    :raises RuntimeError: if Airflow was imported before.
    """
    with tempfile.TemporaryDirectory(prefix="registry-prune-faults-") as folder:
        use_home(Path(folder))
        make_database()
        yield Path(folder)
