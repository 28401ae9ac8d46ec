"""Fills an Airflow's database and the store with runs that pruned. Run by ``benchmarks.page.first_paint``.

``python -m benchmarks.page.prepare RUNS``; Airflow's home is in the environment.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dag import DagModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from dags.registry_prune import build_dag
from faults.in_process.airflow_home import make_database
from include.registry_prune.lists.artifacts import name_in_files
from include.registry_prune.report.kept_reports import report_folder
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.verdict.rules import Action

SECONDS_EACH = 60
"""Of a task."""


def _report(dag_id: str, run_id: str, due: datetime, number: int) -> RunReport:
    found = 1_000 * (11 + number * 37 % 23)
    return RunReport(
        run_id=run_id,
        dag_id=dag_id,
        cluster="default",
        run_after=due,
        started_at=due,
        reported_at=due + timedelta(minutes=30),
        outcome=Outcome.PRUNED,
        verdict=Action.PRUNE,
        reasons=(f"{found:,} orphaned blobs ≥ 1,000",),
        lines=(("orphans found", f"{found:,} blobs"),),
        orphaned_blobs=found,
        orphaned_bytes=found * 24_117,
        deleted_blobs=found,
        freed_bytes=found * 24_117,
        left_blobs=0,
        slices_left=0,
        read_only_seconds=120.0 + found / 310,
    )


def main(count: int) -> None:
    """A run a day, each of whose tasks succeeded, and its report."""
    make_database()
    settings = ClusterSettings()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(build_dag(settings))
    sync_bag_to_db(bag, "dags-folder", None)
    reports = Path(report_folder(settings.artifacts, settings.dag_id).path)
    reports.mkdir(parents=True)
    newest = datetime.now(UTC).replace(hour=3, minute=15, second=0, microsecond=0) - timedelta(days=1)
    with create_session() as session:
        stored = SerializedDagModel.get(settings.dag_id, session=session)
        model = session.get(DagModel, settings.dag_id)
        if stored is None or model is None:
            raise LookupError(f"DAG {settings.dag_id} was not stored")
        model.is_paused = False
        for number in range(count):
            due = newest - timedelta(days=number)
            run_id = f"scheduled__{due.isoformat()}"
            run = stored.dag.create_dagrun(
                run_id=run_id,
                logical_date=due,
                run_after=due,
                start_date=due,
                run_type=DagRunType.SCHEDULED,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.SUCCESS,
                session=session,
            )
            for place, task in enumerate(run.task_instances):
                task.state, task.try_number = "success", 1
                task.start_date = due + timedelta(seconds=place * SECONDS_EACH)
                task.end_date = task.start_date + timedelta(seconds=SECONDS_EACH)
            run.end_date = due + timedelta(seconds=len(run.task_instances) * SECONDS_EACH)
            # Without waiting for the disk each time.
            name = f"{due:%Y%m%dT%H%M%S}Z-{name_in_files(run_id)}.json"
            (reports / name).write_text(_report(settings.dag_id, run_id, due, number).model_dump_json(), "utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]))
