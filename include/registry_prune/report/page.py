"""The page in Airflow's UI that shows, for every cluster, what its last runs found, did and took.

It reads Airflow's database and the reports that runs have kept, and nothing else: the api-server has no connection to
any cluster. Where it cannot reach what was kept (clusters.yaml, or the folder that ``artifacts`` names, is not on its
machine), it shows what Airflow's database still has, and says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from fastapi import FastAPI, Header, HTTPException, Query, status
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Select, and_, or_, select

from include.registry_prune.report.kept_reports import KeptReports, kept_reports
from include.registry_prune.report.links import PAGE_NAME
from include.registry_prune.report.view import ClusterView, StoredRun, view_runs, with_kept
from include.registry_prune.settings.clusters import BASE_DAG_ID
from include.registry_prune.settings.clusters_file import ClustersFile
from include.registry_prune.settings.parameters import SettingsError

REPORT_TASK = "report"
RUNS, MOST_RUNS = 10, 200
"""Of each cluster: how many runs are shown, and how many may be asked for."""
KEPT_PATIENCE_SECONDS = 5.0
"""A storage that has not answered by then is left out: a page that is late is read by nobody."""

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "report_page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    # No script runs on this page, whatever a report says.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_app() -> FastAPI:
    """The page as an application for Airflow's api-server to mount."""
    app = FastAPI(title=PAGE_NAME, docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/", response_class=HTMLResponse)(report_page)
    return app


def report_page(
    user: GetUserDep,
    session: SessionDep,
    runs: Annotated[int, Query(ge=1, le=MOST_RUNS)] = RUNS,
    sec_fetch_dest: Annotated[str, Header()] = "",
) -> HTMLResponse:
    """The reports of the last runs of each cluster whose DAG and XComs the user may read.

    :param runs: at most this many of each cluster.
    :param sec_fetch_dest: sent by browsers. Airflow shows the page in a frame that may open no other page of Airflow,
        so the page has no links there.
    :raises HTTPException: 401 for an unknown user, 403 for one who may read no DAG.
    """
    dags = [dag for dag in session.scalars(_our_dags()).all() if _may_read(user, dag)]
    if not dags and not _may_read(user, None):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden: you may read none of the registry's DAGs")
    kept = _kept([dag.dag_id for dag in dags], runs)
    clusters = [
        ClusterView(
            dag_id=dag.dag_id,
            schedule=dag.timetable_description or dag.timetable_summary or "",
            paused=bool(dag.is_paused),
            runs=view_runs(with_kept(_stored_runs(session, dag.dag_id, runs), kept[dag.dag_id].reports, most=runs)),
            notes=kept[dag.dag_id].damaged,
        )
        for dag in dags
    ]
    base = "" if sec_fetch_dest == "iframe" else conf.get("api", "base_url", fallback="").rstrip("/") or "/."
    page = _environment.get_template("report_page.html").render(
        title=PAGE_NAME, style=_STYLE, clusters=clusters, base=base, runs=runs
    )
    return HTMLResponse(page, headers=_HEADERS)


def _kept(dag_ids: list[str], count: int) -> Mapping[str, KeptReports]:
    """The reports that the runs of each DAG have kept; where they cannot be read, that is what is said."""
    try:
        file = ClustersFile.read()
    except SettingsError as error:
        why = f"Runs that Airflow has forgotten are not shown: the api-server cannot read the settings. {error}"
        return {dag_id: KeptReports(damaged=(why,)) for dag_id in dag_ids}
    places: dict[str, str] = {}
    for name in file.names:
        # A wrong entry is that cluster's own trouble.
        with suppress(SettingsError):
            cluster = file.settings(name)
            places[cluster.dag_id] = cluster.artifacts
    reading = {dag_id: _begun(places[dag_id], dag_id, count) if dag_id in places else _nothing() for dag_id in dag_ids}
    wait(reading.values(), timeout=KEPT_PATIENCE_SECONDS)
    return {dag_id: _what_came(future) for dag_id, future in reading.items()}


def _begun(configured: str, dag_id: str, count: int) -> Future[KeptReports]:
    """In a thread of its own, which nobody waits for longer than for an answer."""
    future: Future[KeptReports] = Future()

    def read() -> None:
        try:
            future.set_result(kept_reports(configured, dag_id, newest=count))
        except BaseException as error:  # it is raised to whoever waits
            future.set_exception(error)

    Thread(target=read, name=f"reports of {dag_id}", daemon=True).start()
    return future


def _nothing() -> Future[KeptReports]:
    future: Future[KeptReports] = Future()
    future.set_result(KeptReports())
    return future


def _what_came(future: Future[KeptReports]) -> KeptReports:
    try:
        return future.result(timeout=0)
    except TimeoutError:
        why = f"their storage has not answered for {KEPT_PATIENCE_SECONDS:g} s"
    except Exception as error:  # of the storage, or of the connection to it
        why = str(error)
    return KeptReports(damaged=(f"Runs that Airflow has forgotten are not shown: {why}",))


def _our_dags() -> Select[DagModel]:
    ours = or_(DagModel.dag_id == BASE_DAG_ID, DagModel.dag_id.startswith(f"{BASE_DAG_ID}_", autoescape=True))
    return select(DagModel).where(ours, DagModel.is_stale.is_(False)).order_by(DagModel.dag_id)


def _may_read(user: BaseUser, dag: DagModel | None) -> bool:
    """Whether a user may read a DAG and its XComs, which the reports are; None: any DAG at all."""
    details = None if dag is None else DagDetails(id=dag.dag_id, team_name=DagModel.get_team_name(dag.dag_id))
    manager = get_auth_manager()
    return all(
        manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
        for entity in (None, DagAccessEntity.RUN, DagAccessEntity.XCOM)
    )


def _stored_runs(session: SessionDep, dag_id: str, count: int) -> list[StoredRun]:
    """The last runs of a DAG, the newest first."""
    of_report = and_(
        XComModel.dag_run_id == DagRun.id,
        XComModel.task_id == REPORT_TASK,
        XComModel.key == "return_value",
        XComModel.map_index == -1,
    )
    rows = session.execute(
        select(DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, XComModel.value, DagRun.run_after)
        .outerjoin(XComModel, of_report)
        .where(DagRun.dag_id == dag_id)
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(count)
    )
    return [
        StoredRun(run_id, str(state), start, end, _json(value), due_at=due)
        for run_id, state, start, end, value, due in rows
    ]


def _json(value: Any) -> Any:
    """An XCom's value as plain JSON. Nothing is made an object of: the api-server trusts no XCom."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
