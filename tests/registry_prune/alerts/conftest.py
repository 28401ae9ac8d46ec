"""Channels that lead to receivers of this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from include.registry_prune.alerts.message import FACTS, Message, Status
from include.registry_prune.settings.alerting import AlertChannel, AlertKind
from include.registry_prune.settings.clusters import ClusterSettings
from tests.registry_prune.alerts.receivers import PATIENCE_SECONDS, HttpReceiver, closed_port, http_receiver


class MailReceiver:
    """What a mail server has taken."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.to: list[list[str]] = []
        self.refusal = ""
        self.seconds = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd calls it so
        await asyncio.sleep(self.seconds)
        if self.refusal:
            return self.refusal
        self.mails.append(message_from_bytes(envelope.content))
        self.to.append(envelope.rcpt_tos)
        return "250 taken"


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    """An HTTP receiver, behind the connections ``http`` and ``apprise``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_receiver() as server:
        connect_http(monkeypatch, server.server_port)
        yield server


def connect_http(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let the connections ``http``, ``alertmanager`` and ``apprise`` lead to a port."""
    fields = {"conn_type": "http", "host": "127.0.0.1", "port": port, "password": "a-secret"}
    for name in ("HTTP", "ALERTMANAGER"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))
    services = [{"path": f"json://127.0.0.1:{port}/apprise?rto=60", "tag": "oncall"}]
    apprise = {"conn_type": "apprise", "extra": {"config": services}}
    monkeypatch.setenv("AIRFLOW_CONN_APPRISE", json.dumps(apprise))


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailReceiver]:
    """A mail server, behind the connection ``mail``."""
    receiver = MailReceiver()
    controller = Controller(receiver, hostname="127.0.0.1", port=closed_port(), ready_timeout=PATIENCE_SECONDS)
    controller.start()
    connect_mail(monkeypatch, controller.port)
    yield receiver
    controller.stop()


def connect_mail(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let the connection ``mail`` lead to a port."""
    extra = {"from_email": "airflow@example.com", "disable_ssl": True, "disable_tls": True, "retry_limit": 0}
    fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(fields))


CHANNELS = {
    "http": AlertChannel(channel="http", connection="http", endpoint="hook"),  # type: ignore[arg-type]
    "alertmanager": AlertChannel(channel="alertmanager", connection="alertmanager"),  # type: ignore[arg-type]
    "apprise": AlertChannel(channel="apprise", connection="apprise", to="oncall"),  # type: ignore[arg-type]
    "mail": AlertChannel(channel="mail", connection="mail", to="oncall@example.com, dev@example.com"),  # type: ignore[arg-type]
}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., ClusterSettings]:
    """Settings with these channels, by name."""

    def make(*names: str, **changes: Any) -> ClusterSettings:
        channels = tuple(CHANNELS[name].model_copy(update=changes) for name in names)
        return ClusterSettings(alert_channels=channels, alert_events=False, artifacts=(tmp_path / "kept").as_uri())

    return make


@pytest.fixture
def message() -> Callable[..., Message]:
    """An alert of a kind."""
    from datetime import UTC, datetime

    def make(
        kind: AlertKind = AlertKind.RESTORE_FAILED, text: str = "a pod is still read-only", **changes: Any
    ) -> Message:
        facts = FACTS[kind]
        fields = {
            "status": Status.SAID if facts.incident is None else Status.FIRING,
            "severity": facts.severity,
            "cluster": "berlin",
            "dag_id": "registry_prune_berlin",
            "run_id": "manual__1",
            "run_url": "https://airflow.example.com/dags/registry_prune_berlin/runs/manual__1",
            "next_step": facts.next_step,
            "runbook": f"https://example.com/runbooks/{facts.runbook}.md",
            "at": datetime.now(UTC),
            "incident": facts.incident,
            "resolves": facts.resolves,
        }
        return Message(kind=kind, text=text, **{**fields, **changes})

    return make
