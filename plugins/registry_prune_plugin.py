"""Airflow's plugin: a page in the UI of the prunes, and a note on the dashboard where one needs a person."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.registry_prune.report.links import PAGE, PAGE_NAME, PAGE_ROUTES, WIDGET_NAME

# Without a slash at its beginning: below Airflow's own path, wherever that is.
_FILES = f"{PAGE_ROUTES.lstrip('/')}/static"


class RegistryPrunePlugin(AirflowPlugin):
    """The page "Registry prune", and its widget."""

    name = "registry_prune"
    react_apps: list[dict[str, Any]] = [  # noqa: RUF012  # as Airflow declares it
        {
            "name": PAGE_NAME,
            "bundle_url": f"{_FILES}/page.js",
            "destination": "nav",
            "category": "browse",
            "url_route": PAGE.rpartition("/")[2],
        },
        {"name": WIDGET_NAME, "bundle_url": f"{_FILES}/widget.js", "destination": "dashboard"},
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Made when the api-server asks: every worker loads plugins too, and has no use for FastAPI."""
        from include.registry_prune.page.app import create_app

        return [{"name": PAGE_NAME, "app": create_app(), "url_prefix": PAGE_ROUTES}]
