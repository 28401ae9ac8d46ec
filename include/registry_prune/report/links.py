"""Links in Airflow's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PAGE_ROUTES = "/registry-prune"
"""Where the page's files and its JSON are, below Airflow's own address."""
PAGE = "/plugin/registry-prune"
"""Where the page is in Airflow's UI."""
PAGE_NAME, WIDGET_NAME = "Registry prune", "Registry prune: attention"
"""The files of the page know themselves by these."""


def run_url(dag_id: str, run_id: str) -> str:
    """A run's page in Airflow's UI; empty if Airflow does not know its own address."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}" if base and run_id else ""


def airflow_address() -> str:
    """The address of this Airflow, by which others may know it; empty if it knows none but for its own machine."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return "" if urlsplit(base).hostname in (None, "localhost", "127.0.0.1", "::1") else base


class ReportPageLink(BaseOperatorLink):
    """From the task ``report`` to the page, at this run."""

    @property
    def name(self) -> str:
        """On the button."""
        return "Registry prune"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page, at the run of this task."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}{PAGE}?{urlencode({'cluster': ti_key.dag_id, 'run': ti_key.run_id})}"
