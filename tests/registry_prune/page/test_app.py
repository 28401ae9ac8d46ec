"""The page with the reports, as Airflow's own api-server serves it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.configuration import AIRFLOW_HOME
from airflow.models.dag import DagModel
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
from starlette.testclient import TestClient

from dags.registry_prune import build_dag
from include.registry_prune.report import page
from include.registry_prune.report.links import PAGE, ReportPageLink
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from include.registry_prune.tasks.after_window import Report
from tests.dags.played_run import PlayedRun, play, store

PAGE_WITH_SLASH = f"{PAGE}/"
EVIL = '<script>alert("owned")</script><img src=x onerror=alert(1)>'


@pytest.fixture(autouse=True)
def no_earlier_runs() -> None:
    """The one run of this file is kept from test to test."""


@pytest.fixture(scope="module")
def played(airflow_database: None) -> PlayedRun:
    """One run that has ended, of the cluster ``page``; a second cluster, ``idle``, never ran."""
    store(build_dag(ClusterSettings.from_mapping("idle", {})))
    return play(build_dag(ClusterSettings.from_mapping("page", {})))


@pytest.fixture(scope="module")
def client(played: PlayedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    clusters = tmp_path_factory.mktemp("settings") / "clusters.yaml"
    clusters.write_text("page: {}\nidle: {}\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(CLUSTERS_FILE_VARIABLE, str(clusters))
        environment.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        environment.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "of these tests alone" * 4)
        purge_cached_app()
        with TestClient(create_app(apps="core"), follow_redirects=False) as running:
            yield running
        purge_cached_app()


def get(client: TestClient, *, role: str | None = "VIEWER", **arguments: Any) -> Any:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
    client.cookies.set("_token", token)
    try:
        return client.get(arguments.pop("path", PAGE_WITH_SLASH), **arguments)
    finally:
        client.cookies.clear()


def part_of(page: str, dag_id: str) -> str:
    """The section of one cluster."""
    found = re.search(rf'<section id="{dag_id}">.*?</section>', page, re.DOTALL)
    assert found is not None, page
    return found[0]


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
    aside = kept.rename(kept.with_suffix(".aside"))
    before = write(change)
    try:
        yield
    finally:
        write(lambda _: before)
        aside.rename(kept)


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


def test_the_page_shows_the_last_runs_of_every_cluster(client: TestClient, played: PlayedRun) -> None:
    answer = get(client)
    assert answer.status_code == 200
    section = part_of(answer.text, "registry_prune_page")
    for shown in ("pruned", "3,000 orphaned blobs", "3,000 blobs, about 4 GiB", "42 s", "hard_prune", played.run_id):
        assert shown.replace("+", "&#43;") in section or shown in section, shown


def test_a_cluster_without_runs_is_shown_as_such(client: TestClient) -> None:
    assert "No run yet." in part_of(get(client).text, "registry_prune_idle")


def test_nobody_sees_it_who_is_not_logged_in(client: TestClient) -> None:
    """Guards the login: what a plugin mounts has none of its own."""
    answer = client.get(PAGE_WITH_SLASH)
    assert answer.status_code == 401
    assert "orphan" not in answer.text


def test_a_forged_token_is_refused(client: TestClient) -> None:
    answer = client.get(PAGE_WITH_SLASH, headers={"Authorization": "Bearer e30.e30.e30"})
    assert answer.status_code in (401, 403)


def test_nobody_sees_it_who_may_read_no_dag(client: TestClient) -> None:
    """Guards the rights: a login alone is not enough."""
    answer = get(client, role=None)
    assert answer.status_code == 403
    assert "orphan" not in answer.text


@pytest.mark.parametrize("denied", ["DAG", "XCOM"])
def test_a_user_sees_only_the_dags_that_are_readable_for_him(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    """Guards the rights for each DAG: an auth manager may give them one by one, and apart for XComs."""
    allowed = SimpleAuthManager.is_authorized_dag

    def one_by_one(self: Any, *, details: Any = None, access_entity: Any = None, **rest: Any) -> bool:
        entity = access_entity.name if access_entity else "DAG"
        if details is not None and details.id == "registry_prune_page" and entity == denied:
            return False
        return bool(allowed(self, details=details, access_entity=access_entity, **rest))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", one_by_one)
    answer = get(client)
    assert answer.status_code == 200
    assert "registry_prune_idle" in answer.text
    assert "registry_prune_page" not in answer.text


def test_what_a_report_says_is_text_and_never_markup(client: TestClient, played: PlayedRun) -> None:
    """Guards the escaping: whoever may write an XCom would act with the rights of whoever looks at the page."""

    def evil(report: Any) -> Any:
        lines = [["because", EVIL], [EVIL, EVIL], ["orphans found", EVIL], ["deleted", EVIL], ["read-only", EVIL]]
        return {**report, "lines": lines, "failed_tasks": [EVIL], "phases": {EVIL: 1.0}}

    with stored_report(played, evil):
        answer = get(client)
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert answer.text.count("&lt;script&gt;") == 13


def test_no_script_may_run_on_the_page(client: TestClient) -> None:
    policy = get(client).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy


def test_the_style_is_the_one_that_the_policy_lets_through(client: TestClient) -> None:
    answer = get(client)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert (
        base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in answer.headers["Content-Security-Policy"]
    )
    assert " style=" not in answer.text


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda report: {**report, "version": 7}, "its report is of version 7; this page reads version"),
        (lambda report: {**report, "something_new": 1}, "its report cannot be read: something_new"),
        (lambda report: {"version": report["version"]}, "its report cannot be read: run_id: Field required"),
        (lambda report: {**report, "phases": {"dry_run": 1e400}}, "figures that make no sense"),
        (lambda report: {**report, "lines": [["because"]]}, "its report cannot be read: lines.0.1: Field required"),
        (lambda _: "no JSON at all", "its report cannot be read: the whole"),
        (lambda _: [[EVIL]], "its report cannot be read: the whole"),
        (lambda _: 5, "its report cannot be read: the whole"),
    ],
)
def test_a_report_that_cannot_be_read_is_said_and_breaks_nothing(
    client: TestClient, played: PlayedRun, change: Callable[[Any], Any], shown: str
) -> None:
    with stored_report(played, change):
        answer = get(client)
    assert answer.status_code == 200
    section = part_of(answer.text, "registry_prune_page")
    assert shown in section.replace("&#39;", "'")
    assert "unreadable report" in section
    assert "<script" not in section


def test_a_run_that_airflow_has_forgotten_is_shown_by_the_report_that_it_kept(client: TestClient) -> None:
    """Guards the history: `airflow db clean` removes runs with all that they handed over."""
    forgotten = json.loads(kept_file().read_text()) | {
        "run_id": "manual__forgotten",
        "run_after": "2020-01-01T00:00:00Z",
    }
    older = kept_file().with_name("20200101T000000Z-manual__forgotten.json")
    older.write_text(json.dumps(forgotten))
    try:
        section = part_of(get(client).text, "registry_prune_page")
        only_newest = part_of(get(client, params={"runs": 1}).text, "registry_prune_page")
    finally:
        older.unlink()
    assert section.count("<details") == 2
    assert "; Airflow has forgotten it" in section
    assert "/runs/manual__forgotten" not in section, "Airflow has no page for it"
    assert section.index("3,000 orphaned blobs") < section.index("manual__forgotten"), "the newest comes first"
    assert "manual__forgotten" not in only_newest


def test_the_kept_report_counts_and_not_what_airflow_has(client: TestClient) -> None:
    with kept_report(lambda text: text.replace("about 4 GiB", "about 5 GiB")):
        section = part_of(get(client).text, "registry_prune_page")
    assert "3,000 blobs, about 5 GiB" in section


def test_what_a_kept_report_says_is_text_and_never_markup(client: TestClient) -> None:
    """Guards the escaping: whoever may write to the folder would act with the rights of whoever looks at the page."""
    with kept_report(lambda text: text.replace("about 4 GiB", json.dumps(EVIL)[1:-1])):
        answer = get(client)
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text


def test_a_damaged_kept_report_is_named_and_airflows_own_is_shown(client: TestClient) -> None:
    with kept_report(lambda text: text[:-20]):
        section = part_of(get(client).text, "registry_prune_page")
    assert f"{kept_file().name}: it is no JSON" in section
    assert "3,000 blobs, about 4 GiB" in section


def test_an_api_server_without_the_settings_shows_what_airflow_has_and_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(tmp_path / "not here"))
    section = part_of(get(client).text, "registry_prune_page")
    assert "Runs that Airflow has forgotten are not shown: the api-server cannot read the settings." in section
    assert "3,000 blobs, about 4 GiB" in section


def test_a_storage_that_does_not_answer_does_not_hold_up_the_page(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(page, "KEPT_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(page, "kept_reports", lambda *_, **__: answers.wait(300))
    try:
        section = part_of(get(client).text, "registry_prune_page")
    finally:
        answers.set()
    assert "their storage has not answered for 0.2 s" in section
    assert "3,000 blobs, about 4 GiB" in section


def test_a_run_that_left_no_report_is_shown_as_such(client: TestClient, played: PlayedRun) -> None:
    with stored_report(played, lambda _: None):
        section = part_of(get(client).text, "registry_prune_page")
    assert "success, no report" in section


@pytest.mark.parametrize("runs", ["0", "201", "many"])
def test_how_many_runs_are_shown_is_bounded(client: TestClient, runs: str) -> None:
    assert get(client, params={"runs": runs}).status_code == 422


def test_links_are_left_out_in_the_frame_which_may_open_no_other_page(client: TestClient) -> None:
    assert "<a href" in get(client).text
    assert "<a href" not in get(client, headers={"Sec-Fetch-Dest": "iframe"}).text


def test_a_dag_that_is_gone_is_left_out(client: TestClient, played: PlayedRun) -> None:
    def set_stale(stale: bool) -> None:
        with create_session() as session:
            session.scalars(select(DagModel).filter_by(dag_id="registry_prune_idle")).one().is_stale = stale

    set_stale(True)
    try:
        assert "registry_prune_idle" not in get(client).text
    finally:
        set_stale(False)


def test_airflow_lists_the_page_in_its_menu_and_its_link_at_the_report(client: TestClient, played: PlayedRun) -> None:
    plugins = get(client, role="ADMIN", path="/api/v2/plugins").json()["plugins"]
    (plugin,) = [plugin for plugin in plugins if plugin["name"] == "registry_prune"]
    (view,) = plugin["external_views"]
    assert (view["href"], view["url_route"], view["destination"]) == (PAGE_WITH_SLASH, "registry-prune", "nav")
    path = f"/api/v2/dags/registry_prune_page/dagRuns/{played.run_id}/taskInstances/report/links"
    assert get(client, path=path).json()["extra_links"] == {
        ReportPageLink().name: f"{PAGE_WITH_SLASH}#registry_prune_page"
    }
    assert Report.operator_extra_links
