"""What the tests of the DAG share."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG

from dags.registry_prune import build_dag
from include.registry_prune.settings.clusters import ClusterSettings


@pytest.fixture(autouse=True)
def _database(airflow_database: None) -> None:
    """Every test here may run a DAG."""


@pytest.fixture
def dag() -> DAG:
    """The real DAG, made anew."""
    return build_dag(ClusterSettings())


@pytest.fixture
def variant() -> DAG:
    """The real DAG under another id, for a test that wires it wrongly."""
    return build_dag(ClusterSettings(name="variant"))
