"""Runs the real DAG in this process, as ``airflow dags test`` does, while a fault hits it."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from faults.arena.arena import CONF, SETTINGS, Arena
from faults.arena.ending import conclude
from faults.fault import Fault, Outcome
from faults.in_process.dag_test import run_in_process

_CONNECTION_VARIABLE = "AIRFLOW_CONN_KUBERNETES_DEFAULT"
_RETRY_DELAY = timedelta(seconds=0.5)


def try_in_process(fault: Fault[Arena], folder: Path) -> Outcome:
    """Let one run meet the fault. The environment variable of the Airflow connection is set meanwhile.

    :param folder: new and empty.
    """
    with Arena(folder, fault) as arena:
        earlier = os.environ.get(_CONNECTION_VARIABLE)
        os.environ[_CONNECTION_VARIABLE] = json.dumps(
            {"conn_type": "kubernetes", "extra": {"kube_config_path": str(arena.account)}}
        )
        try:
            fault.prepare(arena)
            state = _run_dag(arena)
        finally:
            os.environ.pop(_CONNECTION_VARIABLE)
            if earlier is not None:
                os.environ[_CONNECTION_VARIABLE] = earlier
        return conclude(arena, state)


def _run_dag(arena: Arena) -> str:
    from dags.registry_prune import build_dag
    from include.registry_prune.settings.clusters import ClusterSettings

    dag = build_dag(ClusterSettings.from_mapping("default", {**SETTINGS, **arena.fault.settings}))
    for task in dag.tasks:
        # As many retries as ever, in seconds instead of an hour.
        task.retry_delay = _RETRY_DELAY
        task.retry_exponential_backoff = 0.0
        _hook(task, arena)
    run = run_in_process(dag, {**CONF, **arena.fault.conf})
    arena.reported = _report(dag.dag_id, run.run_id)
    return str(run.state)


def _report(dag_id: str, run_id: str) -> dict[str, Any] | None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        row = (
            session.query(XComModel)
            .filter_by(dag_id=dag_id, run_id=run_id, task_id="report", key="return_value")
            .first()
        )
        found: dict[str, Any] | None = None if row is None else XComModel.deserialize_value(row)
    return found


def _hook(task: Any, arena: Arena) -> None:
    before, after = arena.before.get(task.task_id), arena.after.get(task.task_id)
    if before is None and after is None:
        return
    work = task.execute

    def execute(context: Any) -> Any:
        if before is not None:
            before()
        result = work(context)
        if after is not None:
            after()
        return result

    task.execute = execute
