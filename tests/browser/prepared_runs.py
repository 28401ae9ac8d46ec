"""What the browser tests look at: clusters, runs, reports and lists, as a year of work would have left them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

from dags.registry_guard import build_guard
from dags.registry_prune import build_dag
from include.registry_prune.lists.artifacts import artifact_path, list_writer, name_in_files, write_whole
from include.registry_prune.lists.kept_progress import progress_path
from include.registry_prune.pruner.progress import DeleteProgress
from include.registry_prune.report.kept_reports import keep_report, report_folder
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.units import format_seconds, format_size
from include.registry_prune.verdict.rules import Action
from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.lease import Lease
from tests.dags.played_run import store

CLUSTERS = ("berlin", "munich", "hamburg", "leipzig", "idle")
BERLIN, MUNICH, HAMBURG = "registry_prune_berlin", "registry_prune_munich", "registry_prune_hamburg"
LEIPZIG = "registry_prune_leipzig"
BERLIN_RUNS = 60
DAMAGED = "20200101T000000Z-damaged.json"
LOG_LINE = "progress: 184,220 of 184,220 blobs deleted (100 %)"
NEWEST_BLOBS = 184_220
DIGESTS = [b"%064x" % number for number in range(NEWEST_BLOBS)]
"""Of the blobs that the newest run of Berlin deleted."""
MUNICH_EXPECTED = 90_000
EVIL = '<img src=x onerror="document.title = 1"><script>document.title = 1</script>'

_STEPS: Mapping[str, tuple[int, int]] = {
    "verify_access": (0, 2),
    "base_prune": (3, 175),
    "restart_registry": (176, 177),
    "grant_image_pruner": (178, 179),
    "survey": (180, 860),
    "survey_gate": (861, 862),
    "integrity_before": (863, 1120),
    "approve_window": (1121, 1122),
    "right_moment": (1123, 1124),
    "arm_window": (1125, 1126),
    "set_read_only": (1127, 1170),
    "dry_run": (1171, 1180),
    "blob_threshold": (1181, 1182),
    "hard_prune": (1183, 1690),
    "restore_read_write": (1691, 1734),
    "reconcile": (1735, 1760),
    "integrity_after": (1735, 2010),
    "remove_deleted": (2011, 2012),
    "revoke_image_pruner": (2011, 2012),
    "verify_restored": (2013, 2015),
    "report": (2016, 2017),
}
"""Seconds from the run's start, of each task."""


def newest_due(now: datetime) -> datetime:
    """When the last run of Berlin was due."""
    return (now - timedelta(days=1)).replace(hour=3, minute=15, second=0, microsecond=0)


def run_id_of(due: datetime) -> str:
    """As Airflow names a scheduled run."""
    return f"scheduled__{due.isoformat()}"


def prepare(home: Path, now: datetime) -> None:
    """Fill Airflow's database and the store; it may be done again."""
    with create_session() as session:
        for earlier in session.scalars(select(DagRun)):
            session.delete(earlier)
    for name in CLUSTERS:
        settings = ClusterSettings.from_mapping(name, {})
        store(build_dag(settings))
        store(build_guard(settings))
        if name != "idle":
            guard_round(name, now)
    with create_session() as session:
        for dag in session.scalars(select(DagModel)):
            dag.is_paused, dag.next_dagrun_create_after = False, newest_due(now) + timedelta(days=2)
    _berlin(home, now)
    _munich(now)
    for number in range(1000):
        report = berlin_report(HAMBURG, now - timedelta(days=number + 1), number)
        if number == 0:
            folder = Path(keep_report(report, "").path).parent
        else:  # without waiting for the disk a thousand times
            name = f"{report.run_after:%Y%m%dT%H%M%S}Z-{name_in_files(report.run_id)}.json"
            (folder / name).write_text(report.model_dump_json())
    evil = {"reasons": (EVIL,), "lines": ((EVIL, EVIL),)}
    keep_report(berlin_report(LEIPZIG, newest_due(now), 1).model_copy(update=evil), "")
    (Path(report_folder("", LEIPZIG).path) / DAMAGED).write_text('{"version": 3, "run_id"')


def munich_progress(blobs: int) -> None:
    """The delete in Munich is so far."""
    at = datetime.now(UTC)
    told = DeleteProgress(
        at=at,
        blobs=blobs,
        expected_blobs=MUNICH_EXPECTED,
        blobs_per_second=40.0,
        seconds=blobs / 40,
        ends_by=at + timedelta(hours=3),
    )
    path = progress_path("", dag_id=MUNICH, run_id="manual__munich", task_id="hard_prune")
    write_whole(path, told.model_dump_json().encode())


def berlin_report(dag_id: str, due: datetime, age: int) -> RunReport:
    """One of many: quiet days, days with a prune, a backlog in slices, and a failure.

    :param age: 0 for the newest.
    """
    kind = _kind(age)
    found = NEWEST_BLOBS if age == 0 else 1_000 * (11 + (age * 37) % 23) + 4 * age
    if 20 <= age < 26:
        found = 60_000 + 52_000 * (age - 19)
    if kind is Outcome.NOT_WORTH_IT:
        found = 120 + 31 * (age % 7)
    deleted = {Outcome.PRUNED: found, Outcome.SLICE: 52_000}.get(kind, 0)
    left = found - deleted if kind in (Outcome.PRUNED, Outcome.SLICE) else None
    read_only = {
        Outcome.PRUNED: 607.0 if age == 0 else 120.0 + found / 310,
        Outcome.SLICE: 235 * 60.0,
        Outcome.FAILED: 95.0,
    }.get(kind, 0.0)
    reason = {
        Outcome.NOT_WORTH_IT: f"{found} orphaned blobs < 1,000",
        Outcome.FAILED: "set_read_only: pod image-registry-7c9 did not get ready in 15 min",
    }.get(kind, f"{found:,} orphaned blobs ≥ 1,000")
    size, freed = found * 24_117, deleted * 24_117
    report = RunReport(
        run_id=run_id_of(due),
        dag_id=dag_id,
        cluster=dag_id.removeprefix("registry_prune_"),
        run_after=due,
        started_at=due,
        reported_at=due + timedelta(seconds=2017),
        outcome=kind,
        verdict=Action.SKIP if kind is Outcome.NOT_WORTH_IT else Action.PRUNE,
        reasons=(reason,),
        orphaned_blobs=found,
        orphaned_bytes=size,
        deleted_blobs=deleted,
        freed_bytes=freed if deleted else None,
        left_blobs=left,
        slices_left=-(-left // 52_000) if left else 0 if left == 0 else None,
        read_only_seconds=read_only,
        broken_before=0,
        broken_after=0 if deleted else None,
        builds_hit=0 if deleted else None,
        failed_tasks=("set_read_only",) if kind is Outcome.FAILED else (),
        phases={task: float(end - begin) for task, (begin, end) in _STEPS.items()},
    )
    lines = [
        ("because", reason),
        ("base prune", "deleted 114 images, 198 image stream tag revisions, 152 layer links"),
        ("orphans found", f"{found:,} blobs, about {format_size(size)}"),
        ("deleted", f"{deleted:,} blobs, about {format_size(freed)}" if deleted else "0 blobs"),
        ("read-only", format_seconds(read_only)),
        ("broken images", "0 before, 0 after"),
    ]
    return report.model_copy(update={"lines": tuple(lines)})


def _kind(age: int) -> Outcome:
    if 20 < age < 26:
        return Outcome.SLICE
    if age == 9:
        return Outcome.FAILED
    return Outcome.PRUNED if age % 3 == 0 or age == 20 else Outcome.NOT_WORTH_IT


def _berlin(home: Path, now: datetime) -> None:
    newest = newest_due(now)
    for age in range(BERLIN_RUNS):
        keep_report(berlin_report(BERLIN, newest - timedelta(days=age), age), "")
    with create_session() as session:
        run = _run(session, BERLIN, run_id_of(newest), newest, state=DagRunState.SUCCESS)
        run.end_date = newest + timedelta(seconds=2017)
        for task in run.task_instances:
            begin, end = _STEPS[task.task_id]
            task.state, task.try_number = "success", 1
            task.start_date, task.end_date = newest + timedelta(seconds=begin), newest + timedelta(seconds=end)
    _hand_over(BERLIN, run_id_of(newest), "arm_window", _lease(BERLIN, run_id_of(newest), newest, hours=4))
    for what in ("candidates", "deleted-1-20260101T031500"):
        task = "dry_run" if what == "candidates" else "hard_prune"
        with list_writer(
            artifact_path("", dag_id=BERLIN, run_id=run_id_of(newest), task_id=task, what=what), {}
        ) as kept:
            kept.add_blobs(DIGESTS)
    log = home / "logs" / f"dag_id={BERLIN}" / f"run_id={run_id_of(newest)}" / "task_id=hard_prune" / "attempt=1.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(json.dumps({"timestamp": newest.isoformat(), "level": "info", "event": LOG_LINE}) + "\n")


def _munich(now: datetime) -> None:
    """A run that deletes at this moment."""
    began = now - timedelta(seconds=2100)
    for age in range(8):
        keep_report(berlin_report(MUNICH, newest_due(now) - timedelta(days=age), age + 21), "")
    with create_session() as session:
        run = _run(session, MUNICH, "manual__munich", began, state=DagRunState.RUNNING)
        for task in run.task_instances:
            begin, end = _STEPS[task.task_id]
            if task.task_id == "hard_prune":
                task.state, task.try_number, task.start_date = "running", 1, began + timedelta(seconds=begin)
            elif end < _STEPS["hard_prune"][0]:
                task.state, task.try_number = "success", 1
                task.start_date, task.end_date = began + timedelta(seconds=begin), began + timedelta(seconds=end)
    _hand_over(MUNICH, "manual__munich", "arm_window", _lease(MUNICH, "manual__munich", now, hours=3))
    munich_progress(30_000)


def _run(session: Session, dag_id: str, run_id: str, due: datetime, *, state: DagRunState) -> DagRun:
    stored = SerializedDagModel.get(dag_id, session=session)
    assert stored is not None
    run = stored.dag.create_dagrun(
        run_id=run_id,
        logical_date=due,
        run_after=due,
        start_date=due,
        run_type=DagRunType.SCHEDULED if run_id.startswith("scheduled") else DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=state,
        session=session,
    )
    session.flush()
    return run


def guard_round(name: str, now: datetime, cluster_id: str = "") -> None:
    """Two minutes ago, before the run in Munich opened its window."""
    dag_id = f"registry_guard_{name}"
    looked_at = now - timedelta(minutes=2)
    seen = GuardRound(
        found=Found.NOTHING,
        message="the registry takes pushes",
        looked_at=looked_at,
        read_only=False,
        cluster_id=cluster_id,
    )
    with create_session() as session:
        run = _run(session, dag_id, run_id_of(looked_at), looked_at, state=DagRunState.SUCCESS)
        run.end_date = looked_at
    _hand_over(dag_id, run_id_of(looked_at), f"guard_{name}", seen.to_json())


def _lease(dag_id: str, run_id: str, at: datetime, *, hours: int) -> Any:
    end = at + timedelta(hours=hours)
    lease = Lease(holder=f"{dag_id}/{run_id}", token="t", armed_at=at, opened_at=at, expires_at=end, must_end_by=end)
    return lease.to_json()


def _hand_over(dag_id: str, run_id: str, task_id: str, value: Any) -> None:
    with create_session() as session:
        XComModel.set("return_value", value, dag_id=dag_id, task_id=task_id, run_id=run_id, session=session)
