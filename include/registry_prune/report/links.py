"""Links in Airflow's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PAGE = "/registry-prune"
"""Where the page with the reports is, below Airflow's own address."""
PAGE_NAME = "Registry prune"


def run_url(dag_id: str, run_id: str) -> str:
    """A run's page in Airflow's UI; empty if Airflow does not know its own address."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}" if base and run_id else ""


class ReportPageLink(BaseOperatorLink):
    """From the task ``report`` to the page with the reports of all clusters."""

    @property
    def name(self) -> str:
        """On the button."""
        return "Reports of all runs"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page, at the DAG of this task."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}{PAGE}/#{ti_key.dag_id}"
