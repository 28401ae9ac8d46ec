"""Runs the real DAG in this process against a sandbox, as ``airflow dags test`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.models.xcom import XComModel
from airflow.sdk.execution_time.request_handlers import handle_get_xcom
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, set_supervisor_comms
from airflow.utils.session import create_session

from dags.registry_prune import build_dag
from faults.in_process.dag_test import run_in_process
from include.registry_prune.settings.clusters import ClusterSettings

CONNECTION_VARIABLE = "AIRFLOW_CONN_KUBERNETES_DEFAULT"


def connection(kubeconfig: Path) -> str:
    """The Airflow connection as an environment variable holds it."""
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}})


@dataclass(frozen=True)
class Ended:
    """A DAG run that has ended."""

    state: str
    tasks: dict[str, str]
    results: dict[str, Any]
    errors: dict[str, str]
    log: str

    @property
    def report(self) -> dict[str, Any]:
        report = self.results["report"]
        assert isinstance(report, dict)
        return report


def run_dag(caplog: Any, *, conf: Mapping[str, Any] | None = None, **settings: Any) -> Ended:
    """Run it to its end.

    :param conf: what a user gives at the trigger.
    :param settings: of the cluster.
    """
    return run_to_its_end(build_dag(ClusterSettings.from_mapping("default", settings)), caplog, conf or {})


def run_to_its_end(dag: Any, caplog: Any, conf: Mapping[str, Any]) -> Ended:
    """The same for any DAG of this project; no task is tried again."""
    errors: dict[str, str] = {}

    def keep_error(context: Any) -> None:
        errors[context["ti"].task_id] = str(context["exception"])

    task: Any
    for task in dag.tasks:
        task.retries = 0
        task.on_failure_callback = [*task.on_failure_callback, keep_error]
    for name in ("on_success_callback", "on_failure_callback"):
        setattr(dag, name, _with_api(getattr(dag, name)))
    caplog.set_level(logging.INFO)
    caplog.clear()
    run = run_in_process(dag, conf)
    with create_session() as session:
        rows = session.query(XComModel).filter_by(dag_id=dag.dag_id, run_id=run.run_id, key="return_value").all()
        results = {row.task_id: XComModel.deserialize_value(row) for row in rows}
        tasks = {ti.task_id: str(ti.state) for ti in run.get_task_instances(session=session)}
    return Ended(state=str(run.state), tasks=tasks, results=results, errors=errors, log=caplog.text)


class _Api:
    """Airflow's API, of which a callback of a DAG asks for the report: in ``dag.test()`` it has none."""

    def send(self, question: Any) -> Any:
        with set_supervisor_comms(None):
            answer, _ = handle_get_xcom(InProcessTestSupervisor._api_client(), question)
        return answer


def _with_api(callback: Callable[[Any], None]) -> Callable[[Any], None]:
    """The callback as the dag-processor calls it."""

    def call(context: Any) -> None:
        with set_supervisor_comms(_Api()):
            callback(context)

    return call
