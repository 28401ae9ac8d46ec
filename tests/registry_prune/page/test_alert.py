"""What Alertmanager posts begins a run, once, with the cluster's defaults, for whoever may trigger the DAG."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import delete, select
from starlette.testclient import TestClient

from dags.registry_guard import build_guard
from dags.registry_prune import build_dag
from include.registry_prune.page import alert as alert_module
from include.registry_prune.page.alert import LARGEST_BODY_BYTES
from include.registry_prune.report.links import PAGE_ROUTES
from include.registry_prune.settings.clusters import ClusterSettings
from tests.dags.played_run import store
from tests.registry_prune.page.api_server import api_server

DAG, OTHER, GUARD = "registry_prune_filling", "registry_prune_other", "registry_guard_filling"
KEY = '{}:{alertname="RegistryStorageFillingUp"}'
SINCE = "2026-11-26T10:00:00.123Z"


@pytest.fixture(scope="module")
def client(airflow_database: None) -> Iterator[TestClient]:
    for dag in (
        build_dag(ClusterSettings.from_mapping("filling", {})),
        build_dag(ClusterSettings.from_mapping("other", {})),
        build_guard(ClusterSettings.from_mapping("filling", {})),
    ):
        store(dag)
    with api_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_earlier_runs(client: TestClient) -> None:
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id.in_((DAG, OTHER))))
        for dag in session.scalars(select(DagModel).where(DagModel.dag_id.in_((DAG, OTHER, GUARD)))):
            dag.is_paused = False


def fires(since: str = SINCE, status: str = "firing", **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager posts it."""
    return {
        "status": status,
        "labels": {"alertname": "RegistryStorageFillingUp", **labels},
        "annotations": {"summary": "The registry's volume is filling up.", **labels},
        "startsAt": since,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c0ffee",
    }


def group(*alerts: dict[str, Any], key: str = KEY, **rest: Any) -> dict[str, Any]:
    """A group of them."""
    return {
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": "firing" if any(each["status"] == "firing" for each in alerts) else "resolved",
        "receiver": "registry-prune",
        "groupLabels": {"alertname": "RegistryStorageFillingUp"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
        **rest,
    }


def post(client: TestClient, body: Any, *, dag_id: str = DAG, role: str | None = "USER") -> Any:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="alertmanager", role=role))
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(
        f"{PAGE_ROUTES}/clusters/{dag_id}/alert", content=content, headers={"Authorization": f"Bearer {token}"}
    )


def runs(dag_id: str = DAG) -> list[DagRun]:
    with create_session() as session:
        found = list(session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id)))
        session.expunge_all()
    return found


def end(run: DagRun) -> None:
    with create_session() as session:
        session.scalars(select(DagRun).where(DagRun.id == run.id)).one().state = "success"


def test_an_alert_that_fires_begins_a_run_without_parameters(client: TestClient) -> None:
    answer = post(client, group(fires()))
    assert (answer.status_code, answer.json()["why"]) == (200, "begun")
    (run,) = runs()
    assert run.run_id == answer.json()["run_id"]
    assert run.run_id.startswith("alert__2026-11-26T10:00:00Z__")
    assert (run.run_type, str(run.state), run.conf) == ("manual", "queued", {})
    assert run.triggering_user_name == "alertmanager"
    assert runs(OTHER) == []


def test_a_label_and_a_key_that_alertmanager_does_not_send_set_no_parameter(client: TestClient) -> None:
    wanted = {"hard_prune": "force", "pass_ceilings": "orphan_share", "conf": '{"hard_prune": "force"}'}
    body = group(fires(**wanted), commonLabels=wanted, conf={"hard_prune": "force"}, dag_run_id="mine", note="<b>")
    assert post(client, body).json()["why"] == "begun"
    (run,) = runs()
    assert run.conf == {}
    assert run.run_id.startswith("alert__")


def test_a_repeated_alert_begins_no_other_run(client: TestClient) -> None:
    """Guards the registry: Alertmanager posts again at each repeat_interval, and two of them post twice."""
    post(client, group(fires()))
    end(*runs())
    again = post(client, group(fires()))
    assert (again.status_code, again.json()["run_id"]) == (200, None)
    assert "has been begun for it" in again.json()["why"]
    assert len(runs()) == 1


def test_two_posts_at_once_begin_one_run(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has seen the other's: the database itself keeps two runs of one id apart."""

    def both(*arguments: Any, session: Any, **rest: Any) -> Any:
        with create_session() as other:
            trigger_dag(*arguments, session=other, **rest)
        return trigger_dag(*arguments, session=session, **rest)

    monkeypatch.setattr(alert_module, "trigger_dag", both)
    answer = post(client, group(fires()))
    assert (answer.status_code, answer.json()["run_id"]) == (200, None)
    assert len(runs()) == 1


def test_an_alert_that_fires_anew_begins_another_run_when_the_last_is_over(client: TestClient) -> None:
    post(client, group(fires()))
    later = group(fires("2026-11-27T10:00:00Z"))
    waits = post(client, later).json()
    assert waits["run_id"] is None
    assert "is at work, or will be" in waits["why"]
    end(*runs())
    assert post(client, later).json()["why"] == "begun"
    assert len(runs()) == 2


def test_another_alert_of_a_group_begins_a_run_and_its_end_none(client: TestClient) -> None:
    post(client, group(fires()))
    end(*runs())
    assert post(client, group(fires(), fires("2026-11-27T10:00:00Z"))).json()["why"] == "begun"
    end(runs()[-1])
    assert post(client, group(fires(), fires("2026-11-27T10:00:00Z", "resolved"))).json()["run_id"] is None
    assert len(runs()) == 2


def test_one_that_is_resolved_begins_nothing(client: TestClient) -> None:
    answer = post(client, group(fires(status="resolved")))
    assert (answer.status_code, answer.json()) == (200, {"run_id": None, "why": "nothing fires any more"})
    assert runs() == []


@pytest.mark.parametrize("column", ["is_paused", "has_import_errors"])
def test_a_dag_that_runs_nothing_is_a_notification_that_failed(client: TestClient, column: str) -> None:
    """Guards a person who has paused it: no run waits for the moment at which it is un-paused."""

    def switch(on: bool) -> None:
        with create_session() as session:
            setattr(session.scalars(select(DagModel).where(DagModel.dag_id == DAG)).one(), column, on)

    switch(True)
    try:
        assert post(client, group(fires())).status_code == 409
    finally:
        switch(False)
    assert runs() == []
    assert post(client, group(fires())).json()["why"] == "begun"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        {},
        {"alerts": []},
        group(fires(), version="5"),
        group({**fires(), "startsAt": "yesterday"}),
        group({**fires(), "startsAt": "2026-11-26T10:00:00"}),
        group({**fires(), "status": "burning"}),
        group(fires(), key=5),  # type: ignore[arg-type]
        group(fires(), key="\ud83d"),
        {**group(), "alerts": {"status": "firing"}},
    ],
    ids=lambda body: repr(body)[:30],
)
def test_what_is_none_of_alertmanagers_begins_nothing(client: TestClient, body: Any) -> None:
    assert post(client, body).status_code == 422
    assert runs() == []


def test_a_key_with_anything_in_it_is_no_more_than_a_name(client: TestClient) -> None:
    """Airflow refuses ids with most characters, and those that are long."""
    answer = post(client, group(fires(), key="../../x?y=1&ü\0" + "'; drop table dag_run; --" * 100))
    assert answer.json()["why"] == "begun"
    assert len(runs()[0].run_id) < 50


def test_a_huge_body_is_not_read_to_its_end(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50 * LARGEST_BODY_BYTES:
            sent += 65_536
            yield b" " * 65_536

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="alertmanager", role="USER"))
    answer = client.post(
        f"{PAGE_ROUTES}/clusters/{DAG}/alert", content=endless(), headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 413
    assert "max_alerts" in answer.text
    assert runs() == []


@pytest.mark.parametrize("role", ["VIEWER", None])
def test_whoever_may_not_trigger_the_dag_begins_nothing(client: TestClient, role: str | None) -> None:
    """Guards the right: to read is not enough. What was posted is not even looked at."""
    assert post(client, b"no JSON", role=role).status_code == 403
    assert post(client, group(fires()), role=role).status_code == 403
    assert runs() == []


def test_a_right_for_one_cluster_is_none_for_another(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = SimpleAuthManager.is_authorized_dag

    def one_alone(self: Any, *, method: Any, details: Any = None, access_entity: Any = None, **rest: Any) -> bool:
        if method == "POST" and (details.id, access_entity and access_entity.name) != (DAG, "RUN"):
            return False
        return bool(allowed(self, method=method, details=details, access_entity=access_entity, **rest))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", one_alone)
    assert post(client, group(fires()), dag_id=OTHER).status_code == 403
    assert post(client, group(fires())).json()["why"] == "begun"
    assert runs(OTHER) == []


@pytest.mark.parametrize("dag_id", ["registry_prune_none", GUARD, "registry_prune_%25", "~"])
def test_another_dag_is_not_begun(client: TestClient, dag_id: str) -> None:
    assert post(client, group(fires()), dag_id=dag_id, role="ADMIN").status_code == 404
