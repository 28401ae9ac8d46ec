"""Airflow's plugin: a page in the UI with the reports of the registry's prunes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.registry_prune.report.links import PAGE, PAGE_NAME


class RegistryPrunePlugin(AirflowPlugin):
    """The page "Registry prune"."""

    name = "registry_prune"
    external_views: list[dict[str, Any]] = [  # noqa: RUF012  # as Airflow declares it
        {
            "name": PAGE_NAME,
            "href": f"{PAGE}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "registry-prune",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Made when the api-server asks: every worker loads plugins too, and has no use for FastAPI."""
        from include.registry_prune.report.page import create_app

        return [{"name": PAGE_NAME, "app": create_app(), "url_prefix": PAGE}]
