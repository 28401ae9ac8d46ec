"""Airflow's api-server with a login, in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from airflow.api_fastapi.app import create_app, purge_cached_app
from starlette.testclient import TestClient


@contextmanager
def api_server(**environment: str) -> Iterator[TestClient]:
    """A client of it; the plugin's routes are there.

    :param environment: further variables that it is made with.
    """
    login = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of these tests alone" * 4,
    }
    with pytest.MonkeyPatch.context() as variables:
        for name, value in {**login, **environment}.items():
            variables.setenv(name, value)
        purge_cached_app()
        with TestClient(create_app(apps="core"), follow_redirects=False) as running:
            yield running
        purge_cached_app()
