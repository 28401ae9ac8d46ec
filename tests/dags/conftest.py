"""What the tests of the DAG share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from airflow.api_fastapi.app import create_app
from airflow.sdk import DAG
from fastapi.testclient import TestClient

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


@pytest.fixture(scope="module")
def rest_api(airflow_database: None) -> Iterator[TestClient]:
    """Airflow's REST API over the test's database, with a user logged in."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        # To make it costs seconds of CPU.
        with TestClient(create_app(apps="core"), base_url="http://testserver") as client:
            client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
            yield client
