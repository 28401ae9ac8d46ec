"""Each channel, with a real receiver behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.alerts.delivery import try_channels
from include.registry_prune.alerts.message import Message, Status
from include.registry_prune.settings.alerting import AlertKind
from include.registry_prune.settings.clusters import ClusterSettings
from tests.registry_prune.alerts.conftest import MailReceiver
from tests.registry_prune.alerts.receivers import HttpReceiver, alertmanager, alerts_of, needs_alertmanager

Settings = Callable[..., ClusterSettings]
MakeMessage = Callable[..., Message]
URL = "https://airflow.example.com/dags/registry_prune_berlin/runs/manual__1"


def send(settings: ClusterSettings, *messages: Message) -> None:
    for message in messages:
        assert set(try_channels(message, settings).values()) == {""}


def test_json_says_what_is_known_what_comes_next_and_where_there_is_more(
    http: HttpReceiver, settings: Settings, message: MakeMessage
) -> None:
    send(settings("http"), message())
    ((path, body),) = http.posted
    assert path == "/hook"
    assert body["alert"] == "restore failed"
    assert (body["cluster"], body["incident"], body["status"]) == ("berlin", "restore", "firing")
    assert (body["text"], body["run_url"]) == ("a pod is still read-only", URL)
    assert body["runbook"] == "https://example.com/runbooks/restore-failed.md"
    assert body["next_step"].startswith("Remove the cause")


def test_apprise_gets_it_with_all_that_a_person_needs(
    http: HttpReceiver, settings: Settings, message: MakeMessage
) -> None:
    send(settings("apprise"), message())
    ((path, body),) = http.posted
    assert path == "/apprise"
    assert body["title"] == "Registry of berlin: restore failed"
    assert body["type"] == "failure"
    for part in ("a pod is still read-only", "Next: Remove the cause", f"Run: {URL}", "Runbook: https://example.com/"):
        assert part in body["message"]


def test_a_tag_chooses_among_the_services_of_a_connection(
    http: HttpReceiver, settings: Settings, message: MakeMessage
) -> None:
    (problem,) = try_channels(message(), settings("apprise", to="nobody")).values()
    assert "at least one service did not take it" in problem
    assert http.posted == []


def test_mail_goes_to_each_address_and_hangs_together_by_incident(
    mail: MailReceiver, settings: Settings, message: MakeMessage
) -> None:
    send(settings("mail"), message(text="<b>one</b>"), message(status=Status.RESOLVED, text="two"))
    first, second = mail.mails
    assert mail.to[0] == ["oncall@example.com", "dev@example.com"]
    assert first["Subject"] == "Registry of berlin: restore failed"
    assert second["Subject"] == "Registry of berlin: resolved: restore failed"
    assert first["References"] == second["References"]
    (part,) = first.get_payload()  # type: ignore[str-unpack]
    text = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "&lt;b&gt;one&lt;/b&gt;" in text, "what a cluster says is no markup"
    assert "Next: Remove the cause" in text


@needs_alertmanager
def test_alertmanager_shows_an_incident_firing_updated_and_resolved(
    tmp_path: Path, settings: Settings, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with alertmanager(tmp_path) as url:
        monkeypatch.setenv("AIRFLOW_CONN_ALERTMANAGER", f"http://{url.removeprefix('http://')}")
        to = settings("alertmanager")
        send(to, message(text="try 1 of 13"))
        (firing,) = alerts_of(url)
        assert firing["labels"] == {
            "alertname": "RegistryPruneRestore",
            "cluster": "berlin",
            "dag_id": "registry_prune_berlin",
            "severity": "critical",
        }
        assert firing["annotations"]["description"] == "try 1 of 13"
        assert firing["annotations"]["runbook_url"] == "https://example.com/runbooks/restore-failed.md"
        assert firing["generatorURL"] == URL
        send(to, message(text="try 2 of 13"))
        (updated,) = alerts_of(url)
        assert updated["fingerprint"] == firing["fingerprint"]
        assert updated["annotations"]["description"] == "try 2 of 13"
        send(to, message(status=Status.RESOLVED, text="it takes pushes again"))
        assert alerts_of(url) == []


@pytest.mark.parametrize(
    ("connection", "problem"),
    [('{"conn_type": "apprise", "extra": {"config": {"path": "nonsense"}}}', "names no service"), (None, "apprise")],
)
def test_a_connection_that_is_wrong_or_missing_is_said(
    settings: Settings, message: MakeMessage, monkeypatch: pytest.MonkeyPatch, connection: str | None, problem: str,
    airflow_database: None,
) -> None:  # fmt: skip
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_APPRISE", connection)
    (said,) = try_channels(message(), settings("apprise")).values()
    assert problem in said


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_can_go_out_by_every_channel(
    http: HttpReceiver, mail: MailReceiver, settings: Settings, message: MakeMessage, kind: AlertKind
) -> None:
    found: dict[str, Any] = try_channels(message(kind), settings("http", "alertmanager", "apprise", "mail"))
    assert list(found.values()) == [""] * 4
    assert {path for path, _ in http.posted} == {"/hook", "/api/v2/alerts", "/apprise"}
    assert len(mail.mails) == 1
