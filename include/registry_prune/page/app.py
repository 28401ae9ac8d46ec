"""The page's routes, as an application that Airflow's api-server mounts: its files, and the JSON that they show.

It reads Airflow's database and what runs have kept, and nothing else: the api-server has no connection to any cluster.
Every route asks for Airflow's login; what tells of a cluster asks for the right to read its DAG (``rights.py``). One
begins runs, for Alertmanager (``alert.py``), and asks for the right to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response, status
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from include.registry_prune.lists.artifacts import name_in_files
from include.registry_prune.lists.candidate_list import DamagedListError
from include.registry_prune.lists.kept_progress import progress_path, read_progress
from include.registry_prune.page.airflow_runs import TaskView, stored_runs, tasks_of, window_lease
from include.registry_prune.page.alert import begin_by_alert
from include.registry_prune.page.cards import ClusterCard, cards_of
from include.registry_prune.page.downloads import ListView, lists_of, open_list
from include.registry_prune.page.kept import NoSettingsError, in_time, reports_of, settings_by_dag
from include.registry_prune.page.rights import ReadableDag, ReadableDags
from include.registry_prune.page.view import RunDetail, RunView, StoredRun, view_run, view_runs, with_kept
from include.registry_prune.pruner.progress import DeleteProgress
from include.registry_prune.report.kept_reports import kept_report
from include.registry_prune.report.links import PAGE_NAME
from include.registry_prune.report.report import RunReport
from include.registry_prune.settings.clusters import ClusterSettings

RUNS, MOST_RUNS = 100, 1000
"""Of a cluster: how many runs are told of, and how many may be asked for."""
DELETE_TASK = "hard_prune"

_TYPES = {".js": "text/javascript", ".css": "text/css"}
_FILES = {
    file.name: (file.read_bytes(), _TYPES[file.suffix])
    for file in (Path(__file__).parent / "static").iterdir()
    if file.suffix in _TYPES
}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


@dataclass(frozen=True)
class Overview:
    """All clusters whose DAGs a user may read.

    :param now: by the server's clock, which ages are reckoned by.
    """

    now: datetime
    clusters: list[ClusterCard]


@dataclass(frozen=True)
class RunHistory:
    """The last runs of a cluster, the newest first.

    :param window_limit_seconds: how long a window may last, by the settings as they are now; None: not known.
    :param notes: what cannot be shown, and why.
    """

    dag_id: str
    window_limit_seconds: float | None
    notes: tuple[str, ...]
    runs: tuple[RunView, ...]


@dataclass(frozen=True)
class OneRun:
    """One run.

    :param tasks: as Airflow's database has them; none of a run that it has forgotten.
    :param must_end_by: when its window has to be closed, or had to.
    :param lists: that can be downloaded; ``lists_problem``: why there are none to show.
    """

    dag_id: str
    now: datetime
    detail: RunDetail
    tasks: list[TaskView]
    must_end_by: datetime | None
    lists: list[ListView]
    lists_problem: str = ""


def create_app() -> FastAPI:
    """The application."""
    app = FastAPI(title=PAGE_NAME, docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(_no_store)])
    app.get("/static/{name}")(static_file)
    app.get("/clusters")(overview)
    app.get("/clusters/{dag_id}/runs")(history)
    app.get("/clusters/{dag_id}/run")(one_run)
    app.get("/clusters/{dag_id}/progress")(progress)
    app.get("/clusters/{dag_id}/list")(download)
    app.post("/clusters/{dag_id}/alert")(begin_by_alert)
    return app


def _no_store(response: Response) -> None:
    response.headers.update({**_HEADERS, "Cache-Control": "no-store"})


def static_file(name: str, user: GetUserDep, if_none_match: Annotated[str, Header()] = "") -> Response:
    """A file of the page. It tells of no cluster: whoever has logged in may read it.

    :raises HTTPException: 401 for an unknown user, 404 for anything else than one of the page's files.
    """
    if name not in _FILES:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "No such file")
    content, media_type = _FILES[name]
    # Asked for again each time, and sent only if it is another one: no page is made of files of two releases.
    tag = f'"{sha256(content).hexdigest()}"'
    headers = {**_HEADERS, "Cache-Control": "no-cache", "ETag": tag}
    if if_none_match == tag:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def overview(dags: ReadableDags, user: GetUserDep, session: SessionDep) -> Overview:
    """Every cluster that the user may see: its registry, its guard, its last and its next run."""
    now = datetime.now(UTC)
    settings, why_none = _settings()
    return Overview(now, cards_of(session, dags, user, settings, why_none=why_none, now=now))


def history(
    dag: ReadableDag, session: SessionDep, count: Annotated[int, Query(ge=1, le=MOST_RUNS)] = RUNS
) -> RunHistory:
    """The last runs of one cluster.

    :param count: at most this many.
    """
    settings, why_none = _settings(dag.dag_id)
    kept = reports_of([dag.dag_id], count, settings, why_none=why_none)[dag.dag_id]
    runs = with_kept(stored_runs(session, dag.dag_id, count=count), kept.reports, most=count)
    cluster = (settings or {}).get(dag.dag_id)
    limit = cluster.seconds("window_limit") if cluster else None
    return RunHistory(dag.dag_id, limit, kept.damaged, view_runs(runs))


def one_run(dag: ReadableDag, run_id: str, session: SessionDep) -> OneRun:
    """One run, with its tasks and its lists.

    :raises HTTPException: 404 if neither Airflow nor the store knows it.
    """
    settings, why_none = _settings(dag.dag_id)
    cluster = (settings or {}).get(dag.dag_id)
    run = _known_run(session, dag, run_id, settings)
    lists, problem = [], why_none
    if cluster is not None:
        try:
            lists = in_time(lambda: lists_of(cluster.artifacts, dag.dag_id, run_id))
        except OSError as error:
            problem = str(error)
    lease = window_lease(session, dag.dag_id, run_id) if run.in_airflow else None
    return OneRun(
        dag.dag_id,
        datetime.now(UTC),
        view_run(run),
        tasks_of(session, dag.dag_id, run_id) if run.in_airflow else [],
        lease.must_end_by if lease else None,
        lists,
        problem,
    )


def progress(dag: ReadableDag, run_id: str, session: SessionDep) -> DeleteProgress | None:
    """How far a run's delete is; nothing if that is not known.

    :raises HTTPException: 404 for an unknown run; 503 if the storage does not tell.
    """
    cluster = _cluster(dag)
    if not stored_runs(session, dag.dag_id, count=1, run_id=run_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{dag.dag_id} has no run {run_id}")
    path = progress_path(cluster.artifacts, dag_id=dag.dag_id, run_id=run_id, task_id=DELETE_TASK)
    try:
        return in_time(lambda: read_progress(path))
    except OSError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error


def download(dag: ReadableDag, run_id: str, name: str, session: SessionDep) -> StreamingResponse:
    """A list of a run, as text. Where it is damaged, the download breaks off: no part of it is taken for the whole.

    :raises HTTPException: 404 for an unknown run or list, 409 for one that is unfinished, 503 if the storage does not
        answer.
    """
    cluster = _cluster(dag)
    _known_run(session, dag, run_id, {dag.dag_id: cluster})
    try:
        found = in_time(lambda: _opened(cluster, dag.dag_id, run_id, name))
    except OSError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error
    if isinstance(found, HTTPException):
        raise found
    file = f"{dag.dag_id}-{name_in_files(run_id)}-{name}.txt"
    headers = {**_HEADERS, "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{file}"'}
    return StreamingResponse(found, media_type="text/plain; charset=utf-8", headers=headers)


def _opened(cluster: ClusterSettings, dag_id: str, run_id: str, name: str) -> Iterator[bytes] | HTTPException:
    try:
        return open_list(cluster.artifacts, dag_id, run_id, name)
    except FileNotFoundError as error:
        return HTTPException(status.HTTP_404_NOT_FOUND, str(error))
    except DamagedListError as error:
        return HTTPException(status.HTTP_409_CONFLICT, str(error))


def _settings(only: str | None = None) -> tuple[dict[str, ClusterSettings] | None, str]:
    """Of each cluster, or of one, by DAG; or None, and why not."""
    try:
        return settings_by_dag(only), ""
    except NoSettingsError as error:
        return None, str(error)


def _cluster(dag: DagModel) -> ClusterSettings:
    settings, why_none = _settings(dag.dag_id)
    cluster = (settings or {}).get(dag.dag_id)
    if cluster is None:
        why = why_none or f"the settings have no right entry for {dag.dag_id}"
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, f"Its store is not known: {why}")
    return cluster


def _known_run(session: Session, dag: DagModel, run_id: str, settings: dict[str, ClusterSettings] | None) -> StoredRun:
    """A run as Airflow has it, with its kept report; or by that alone.

    :raises HTTPException: 404 if there is neither.
    """
    stored = stored_runs(session, dag.dag_id, count=1, run_id=run_id)
    cluster = (settings or {}).get(dag.dag_id)
    reports: tuple[RunReport, ...] = ()
    if cluster is not None:
        # Where the store does not answer, what Airflow has is shown.
        with suppress(OSError):
            reports = in_time(lambda: kept_report(cluster.artifacts, dag.dag_id, run_id)).reports
    found = with_kept(stored, reports, most=1)
    if not found:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{dag.dag_id} has no run {run_id}")
    return found[0]
