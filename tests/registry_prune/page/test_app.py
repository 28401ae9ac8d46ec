"""The page's routes, as Airflow's own api-server serves them: who gets what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.configuration import AIRFLOW_HOME
from airflow.models.dag import DagModel
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi.routing import APIRoute
from sqlalchemy import select
from starlette.testclient import TestClient

from dags.registry_guard import build_guard
from dags.registry_prune import build_dag
from include.registry_prune.lists.artifacts import artifact_path, list_writer, write_whole
from include.registry_prune.lists.kept_progress import progress_path
from include.registry_prune.page import app, kept
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.progress import DeleteProgress
from include.registry_prune.report.links import PAGE, PAGE_NAME, PAGE_ROUTES, WIDGET_NAME, ReportPageLink
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from include.registry_prune.tasks.after_window import Report
from tests.browser.prepared_runs import guard_round
from tests.dags.played_run import PlayedRun, play, store
from tests.registry_prune.page.api_server import api_server

DAG, IDLE = "registry_prune_page", "registry_prune_idle"
BLOB = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def no_earlier_runs() -> None:
    """The one run of this file is kept from test to test."""


@pytest.fixture(scope="module")
def played(airflow_database: None) -> PlayedRun:
    """One run that has ended, of the cluster ``page``; a second cluster, ``idle``, never ran."""
    store(build_dag(ClusterSettings.from_mapping("idle", {})))
    run = play(build_dag(ClusterSettings.from_mapping("page", {})))
    with list_writer(list_path(run, "dry_run", "candidates"), {"run": run.run_id}) as writer:
        writer.add(LineKind.BLOB, BLOB)
    return run


@pytest.fixture(scope="module")
def client(played: PlayedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    clusters = tmp_path_factory.mktemp("settings") / "clusters.yaml"
    clusters.write_text("page: {}\nidle: {}\n")
    with api_server(**{CLUSTERS_FILE_VARIABLE: str(clusters)}) as running:
        yield running


def list_path(run: PlayedRun, task: str, what: str) -> Any:
    return artifact_path("", dag_id=DAG, run_id=run.run_id, task_id=task, what=what)


def get(client: TestClient, path: str, *, role: str | None = "VIEWER", headers: Any = None, **parameters: Any) -> Any:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
    client.cookies.set("_token", token)
    try:
        return client.get(
            path if path.startswith("/api/") else f"{PAGE_ROUTES}{path}", params=parameters, headers=headers
        )
    finally:
        client.cookies.clear()


def cards(client: TestClient) -> dict[str, Any]:
    return {card["dag_id"]: card for card in get(client, "/clusters").json()["clusters"]}


def runs(client: TestClient, **parameters: Any) -> Any:
    answer = get(client, f"/clusters/{DAG}/runs", **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def one_run(client: TestClient, run: PlayedRun) -> Any:
    answer = get(client, f"/clusters/{DAG}/run", run_id=run.run_id)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept_file() -> Path:
    """Where the run has kept its report."""
    (path,) = (Path(AIRFLOW_HOME) / "registry-prune" / "reports" / "registry_prune_page").glob("*.json")
    return path


@contextmanager
def stored_report(run: PlayedRun, change: Callable[[Any], Any]) -> Iterator[None]:
    """The run's report in Airflow's database is another one meanwhile, and none is kept beside it."""
    of_report = select(XComModel).filter_by(run_id=run.run_id, task_id="report", key="return_value")

    def write(value: Callable[[Any], Any]) -> Any:
        with create_session() as session:
            row = session.scalars(of_report).one()
            before, row.value = row.value, value(row.value)
            return before

    kept = kept_file()
    before = write(change)
    aside = kept.rename(kept.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(kept)
        write(lambda _: before)


@contextmanager
def kept_report(change: Callable[[str], str]) -> Iterator[None]:
    """The report that the run has kept is another one meanwhile."""
    kept = kept_file()
    before = kept.read_text()
    kept.write_text(change(before))
    try:
        yield
    finally:
        kept.write_text(before)


ALL = [route for route in app.create_app().routes if isinstance(route, APIRoute)]
ROUTES = [route.path for route in ALL if route.methods == {"GET"}]


def filled(route: str) -> str:
    return route.format(dag_id=DAG, name="page.js")


def parameters_of(route: str, run: PlayedRun) -> dict[str, str]:
    return {"run_id": run.run_id, "name": "dry_run-candidates"} if "{dag_id}" in route else {}


def test_every_route_is_known_here() -> None:
    """A new one is tried by the tests below as all are; the one that begins runs, by ``test_alert.py``."""
    assert len(ALL) == len(app.create_app().routes) == len(ROUTES) + 1 == 7


@pytest.mark.parametrize("route", ALL, ids=lambda route: route.path)
def test_nobody_gets_anything_who_is_not_logged_in(client: TestClient, played: PlayedRun, route: APIRoute) -> None:
    """Guards the login: what a plugin mounts has none of its own."""
    url, parameters = f"{PAGE_ROUTES}{filled(route.path)}", parameters_of(route.path, played)
    (method,) = route.methods
    assert client.request(method, url, params=parameters).status_code == 401
    forged = client.request(method, url, params=parameters, headers={"Authorization": "Bearer e30.e30.e30"})
    assert forged.status_code in (401, 403)


@pytest.mark.parametrize("route", [route for route in ROUTES if "static" not in route])
def test_nobody_sees_a_cluster_who_may_read_no_dag(client: TestClient, played: PlayedRun, route: str) -> None:
    """Guards the rights: a login alone is not enough."""
    answer = get(client, filled(route), role=None, **parameters_of(route, played))
    assert answer.status_code == 403
    assert "orphan" not in answer.text


@pytest.fixture(params=["DAG", "RUN", "TASK_INSTANCE", "XCOM"])
def without_rights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An auth manager may give rights DAG by DAG, and apart for runs, tasks and XComs: one of them is missing."""
    allowed = SimpleAuthManager.is_authorized_dag

    def one_by_one(self: Any, *, details: Any = None, access_entity: Any = None, **rest: Any) -> bool:
        entity = access_entity.name if access_entity else "DAG"
        if details is not None and details.id == DAG and entity == request.param:
            return False
        return bool(allowed(self, details=details, access_entity=access_entity, **rest))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", one_by_one)


@pytest.mark.usefixtures("without_rights")
def test_a_user_sees_only_the_clusters_whose_dags_are_readable_for_him(client: TestClient, played: PlayedRun) -> None:
    """Guards the rights for each DAG, on every route."""
    for route in ROUTES:
        if "{dag_id}" in route:
            answer = get(client, filled(route), **parameters_of(route, played))
            assert answer.status_code == 403, route
            assert "deleted" not in answer.text
    answer = get(client, "/clusters")
    assert answer.status_code == 200
    assert IDLE in answer.text
    assert DAG not in answer.text


def test_a_viewer_gets_every_route(client: TestClient, played: PlayedRun) -> None:
    for route in ROUTES:
        assert get(client, filled(route), **parameters_of(route, played)).status_code == 200, route


@pytest.mark.parametrize("dag_id", ["registry_guard_page", "another", "registry_prune_none"])
def test_another_dag_has_no_runs_here(client: TestClient, dag_id: str) -> None:
    assert get(client, f"/clusters/{dag_id}/runs").status_code == 404


def test_the_figures_of_the_last_runs(client: TestClient, played: PlayedRun) -> None:
    found = runs(client)
    (run,) = found["runs"]
    assert (run["run_id"], run["outcome"], run["tone"]) == (played.run_id, "pruned", "good")
    assert (run["orphaned_blobs"], run["deleted_blobs"], run["freed_bytes"]) == (3000, 3000, 4 * 2**30)
    assert run["read_only_seconds"] == 42
    assert found["window_limit_seconds"] == 4 * 3600


def test_a_card_for_each_cluster(client: TestClient, played: PlayedRun) -> None:
    found = cards(client)
    assert (found[IDLE]["name"], found[IDLE]["last"], found[IDLE]["last_prune"]) == ("idle", None, None)
    assert found[DAG]["last_prune"]["run_id"] == played.run_id
    assert found[DAG]["registry"]["state"] == "not known", "its guard has not looked yet"


def test_one_run_with_its_tasks_and_its_lists(client: TestClient, played: PlayedRun) -> None:
    found = one_run(client, played)
    assert ["because", "3,000 orphaned blobs ≥ 1,000"] in found["detail"]["lines"]
    assert {task["task_id"]: task["state"] for task in found["tasks"]}["hard_prune"] == "success"
    assert (found["detail"]["broken_before"], found["detail"]["broken_after"]) == (0, 0)
    (candidates,) = found["lists"]
    assert (candidates["name"], candidates["counts"]["blob"], candidates["problem"]) == ("dry_run-candidates", 1, "")


def test_an_unknown_run_is_not_found(client: TestClient) -> None:
    for what in ("run", "progress", "list"):
        assert get(client, f"/clusters/{DAG}/{what}", run_id="../other", name="x").status_code == 404


def test_a_list_is_downloaded_as_text(client: TestClient, played: PlayedRun) -> None:
    answer = get(client, f"/clusters/{DAG}/list", run_id=played.run_id, name="dry_run-candidates")
    assert answer.text == f"blob {BLOB}\n"
    assert answer.headers["content-disposition"].startswith('attachment; filename="registry_prune_page-')
    assert get(client, f"/clusters/{DAG}/list", run_id=played.run_id, name="../x").status_code == 404


def test_an_unfinished_list_is_refused(client: TestClient, played: PlayedRun) -> None:
    path = list_path(played, "survey", "candidates")
    with list_writer(path, {}):
        pass
    seal = Path(path.path).with_name("survey-candidates.json")
    seal.unlink()
    try:
        assert get(client, f"/clusters/{DAG}/list", run_id=played.run_id, name="survey-candidates").status_code == 409
    finally:
        path.unlink()


def test_how_far_a_delete_is(client: TestClient, played: PlayedRun) -> None:
    assert get(client, f"/clusters/{DAG}/progress", run_id=played.run_id).json() is None
    told = DeleteProgress(at=datetime.now(UTC), blobs=7, expected_blobs=100, seconds=1.0)
    path = progress_path("", dag_id=DAG, run_id=played.run_id, task_id="hard_prune")
    write_whole(path, told.model_dump_json().encode())
    try:
        assert get(client, f"/clusters/{DAG}/progress", run_id=played.run_id).json()["blobs"] == 7
    finally:
        path.unlink()


@pytest.mark.parametrize("name", ["page.css", "page.js", "widget.js", "cards.js", "plots.js"])
def test_the_pages_own_files(client: TestClient, name: str) -> None:
    answer = get(client, f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == ("text/css" if name.endswith("css") else "text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    again = get(client, f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["app.py", "..%2Fapp.py", "%2Fetc%2Fpasswd", "none.js"])
def test_no_other_file_is_sent(client: TestClient, name: str) -> None:
    assert get(client, f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda report: {**report, "version": 7}, "its report is of version 7; this page reads version"),
        (lambda report: {**report, "something_new": 1}, "its report cannot be read: something_new"),
        (lambda report: {"version": report["version"]}, "its report cannot be read: run_id: Field required"),
        (lambda report: {**report, "lines": [["because"]]}, "its report cannot be read: lines.0.1: Field required"),
        (lambda _: "no JSON at all", "its report cannot be read: the whole"),
        (lambda _: 5, "its report cannot be read: the whole"),
    ],
)
def test_a_report_that_cannot_be_read_is_said_and_breaks_nothing(
    client: TestClient, played: PlayedRun, change: Callable[[Any], Any], shown: str
) -> None:
    with stored_report(played, change):
        (run,) = runs(client)["runs"]
        assert shown in run["why"]
        assert "unreadable report" in run["outcome"]
        assert one_run(client, played)["detail"]["unread"]
        assert cards(client)[DAG]["last"]["tone"] == "bad"


def test_a_run_that_airflow_has_forgotten_is_shown_by_the_report_that_it_kept(
    client: TestClient, played: PlayedRun
) -> None:
    """Guards the history: `airflow db clean` removes runs with all that they handed over."""
    forgotten = json.loads(kept_file().read_text()) | {
        "run_id": "manual__forgotten",
        "run_after": "2020-01-01T00:00:00Z",
    }
    older = kept_file().with_name("20200101T000000Z-manual__forgotten.json")
    older.write_text(json.dumps(forgotten))
    try:
        found = runs(client)["runs"]
        only_newest = runs(client, count=1)["runs"]
        alone = get(client, f"/clusters/{DAG}/run", run_id="manual__forgotten").json()
    finally:
        older.unlink()
    assert [(run["run_id"], run["in_airflow"]) for run in found] == [
        (played.run_id, True),
        ("manual__forgotten", False),
    ]
    assert [run["run_id"] for run in only_newest] == [played.run_id]
    assert alone["tasks"] == []
    assert "hard_prune" in dict(alone["detail"]["phases"])


def test_the_kept_report_counts_and_not_what_airflow_has(client: TestClient) -> None:
    with kept_report(lambda text: text.replace('"deleted_blobs": 3000', '"deleted_blobs": 2999')):
        (run,) = runs(client)["runs"]
    assert run["deleted_blobs"] == 2999


def test_a_damaged_kept_report_is_named_and_airflows_own_is_shown(client: TestClient) -> None:
    with kept_report(lambda text: text[:-20]):
        found = runs(client)
    assert f"{kept_file().name}: it is no JSON" in found["notes"][0]
    assert found["runs"][0]["deleted_blobs"] == 3000


def test_an_api_server_without_the_settings_shows_what_airflow_has_and_says_so(
    client: TestClient, played: PlayedRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(tmp_path / "not here"))
    found = runs(client)
    assert (
        "Runs that Airflow has forgotten are not shown: the api-server cannot read the settings." in found["notes"][0]
    )
    assert found["runs"][0]["deleted_blobs"] == 3000
    assert "the api-server cannot read the settings" in one_run(client, played)["lists_problem"]
    assert get(client, f"/clusters/{DAG}/list", run_id=played.run_id, name="dry_run-candidates").status_code == 503


def test_a_storage_that_does_not_answer_does_not_hold_up_the_page(
    client: TestClient, played: PlayedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(kept, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(kept, "kept_reports", lambda *_, **__: answers.wait(300))
    monkeypatch.setattr(app, "lists_of", lambda *_, **__: answers.wait(300))
    try:
        found, alone = runs(client), one_run(client, played)
    finally:
        answers.set()
    assert "their storage has not answered for 0.2 s" in found["notes"][0]
    assert found["runs"][0]["deleted_blobs"] == 3000
    assert "the storage has not answered for 0.2 s" in alone["lists_problem"]


def test_a_run_that_left_no_report_is_shown_as_such(client: TestClient, played: PlayedRun) -> None:
    with stored_report(played, lambda _: None):
        (run,) = runs(client)["runs"]
    assert run["outcome"] == "success, no report"


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_how_many_runs_are_told_of_is_bounded(client: TestClient, count: str) -> None:
    assert get(client, f"/clusters/{DAG}/runs", count=count).status_code == 422


def test_a_dag_that_is_gone_is_left_out(client: TestClient, played: PlayedRun) -> None:
    def set_stale(stale: bool) -> None:
        with create_session() as session:
            session.scalars(select(DagModel).filter_by(dag_id=IDLE)).one().is_stale = stale

    set_stale(True)
    try:
        assert IDLE not in cards(client)
    finally:
        set_stale(False)


def test_a_guard_is_told_of_only_to_who_may_read_its_dag(
    client: TestClient, played: PlayedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = SimpleAuthManager.is_authorized_dag

    def no_guards(self: Any, *, details: Any = None, **rest: Any) -> bool:
        guard = details is not None and details.id.startswith("registry_guard")
        return not guard and bool(allowed(self, details=details, **rest))

    assert cards(client)[DAG]["guard_dag_id"] == "registry_guard_page"
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", no_guards)
    assert cards(client)[DAG]["guard_dag_id"] == ""


def same_cluster(client: TestClient) -> dict[str, list[str]]:
    """What these two cards say of other entries for their cluster."""
    shown = cards(client)
    return {
        dag_id: [text for text in shown[dag_id]["attention"] if text.startswith("It is the same cluster")]
        for dag_id in (DAG, IDLE)
        if dag_id in shown
    }


def guards_saw(page: str, idle: str, at: datetime) -> None:
    for name, cluster_id in (("page", page), ("idle", idle)):
        guard_round(name, at, cluster_id=cluster_id)


def test_two_entries_whose_guards_saw_one_cluster_name_each_other(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But never an entry that the user may not see."""
    for name in ("page", "idle"):
        store(build_guard(ClusterSettings.from_mapping(name, {})))
    now = datetime.now(UTC)
    for seconds, ids in enumerate([("4711", "4712"), ("", "")]):
        guards_saw(*ids, now + timedelta(seconds=seconds))
        assert same_cluster(client) == {DAG: [], IDLE: []}
    guards_saw("4711", "4711", now + timedelta(seconds=2))
    found = same_cluster(client)
    assert "as that of idle," in found[DAG][0]
    assert "as that of page," in found[IDLE][0]

    allowed = SimpleAuthManager.is_authorized_dag

    def not_idle(self: Any, *, details: Any = None, **rest: Any) -> bool:
        hidden = details is not None and details.id.endswith("_idle")
        return not hidden and bool(allowed(self, details=details, **rest))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", not_idle)
    assert same_cluster(client) == {DAG: []}


def test_a_thousand_runs_are_told_of_in_short(client: TestClient, played: PlayedRun) -> None:

    report = json.loads(kept_file().read_text())
    folder = kept_file().parent
    written = []
    for number in range(1000):
        due = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=number)
        path = folder / f"{due:%Y%m%dT%H%M%S}Z-manual__{number}.json"
        path.write_text(json.dumps({**report, "run_id": f"manual__{number}", "run_after": due.isoformat()}))
        written.append(path)
    try:
        found = runs(client, count=1000)["runs"]
    finally:
        for path in written:
            path.unlink()
    assert len(found) == 1000
    assert "lines" not in found[0], "what only one run's view shows is not sent a thousand times"


def test_airflow_offers_the_page_its_widget_and_its_link_at_the_report(client: TestClient, played: PlayedRun) -> None:
    plugins = get(client, "/api/v2/plugins", role="ADMIN").json()["plugins"]
    (plugin,) = [plugin for plugin in plugins if plugin["name"] == "registry_prune"]
    assert plugin["external_views"] == []
    found = {
        each["name"]: (each["destination"], each["bundle_url"], each["url_route"]) for each in plugin["react_apps"]
    }
    files = f"{PAGE_ROUTES.lstrip('/')}/static"
    assert found == {
        PAGE_NAME: ("nav", f"{files}/page.js", "registry-prune"),
        WIDGET_NAME: ("dashboard", f"{files}/widget.js", None),
    }
    path = f"/api/v2/dags/{DAG}/dagRuns/{played.run_id}/taskInstances/report/links"
    (link,) = get(client, path).json()["extra_links"].values()
    assert link.startswith(f"{PAGE}?cluster={DAG}&run=")
    assert isinstance(Report.operator_extra_links[0], ReportPageLink)


@pytest.mark.parametrize(("file", "name"), [("page.js", PAGE_NAME), ("widget.js", WIDGET_NAME)])
def test_a_module_leaves_its_component_under_the_name_that_the_plugin_says(file: str, name: str) -> None:
    """Guards the page: Airflow looks for it by that name."""
    text = (Path(app.__file__).parent / "static" / file).read_text(encoding="utf-8")
    assert f'globalThis["{name}"] = ' in text


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in (Path(app.__file__).parent / "static").iterdir():
        assert "://" not in file.read_text(encoding="utf-8"), file.name
