"""The page in Airflow's UI that shows, for every cluster, what its last runs found, did and took.

It reads Airflow's database and nothing else: the api-server has no connection to any cluster.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
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

from include.registry_prune.report.links import PAGE_NAME
from include.registry_prune.report.view import ClusterView, StoredRun, view_runs
from include.registry_prune.settings.clusters import BASE_DAG_ID

REPORT_TASK = "report"
RUNS, MOST_RUNS = 10, 200
"""Of each cluster: how many runs are shown, and how many may be asked for."""

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
    clusters = [
        ClusterView(
            dag_id=dag.dag_id,
            schedule=dag.timetable_description or dag.timetable_summary or "",
            paused=bool(dag.is_paused),
            runs=view_runs(_stored_runs(session, dag.dag_id, runs)),
        )
        for dag in dags
    ]
    base = "" if sec_fetch_dest == "iframe" else conf.get("api", "base_url", fallback="").rstrip("/") or "/."
    page = _environment.get_template("report_page.html").render(
        title=PAGE_NAME, style=_STYLE, clusters=clusters, base=base, runs=runs
    )
    return HTMLResponse(page, headers=_HEADERS)


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
        select(DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, XComModel.value)
        .outerjoin(XComModel, of_report)
        .where(DagRun.dag_id == dag_id)
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(count)
    )
    return [StoredRun(run_id, str(state), start, end, _json(value)) for run_id, state, start, end, value in rows]


def _json(value: Any) -> Any:
    """An XCom's value as plain JSON. Nothing is made an object of: the api-server trusts no XCom."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
