"""How alerts get out: to whom, once for each incident, never for longer than a task can wait, and again later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from include.registry_prune.alerts import delivery
from include.registry_prune.alerts.delivery import resolve, tell
from include.registry_prune.alerts.message import FACTS, Incident, Message
from include.registry_prune.settings.alerting import AlertChannel, AlertKind
from include.registry_prune.settings.clusters import ClusterSettings
from tests.registry_prune.alerts.conftest import MailReceiver, connect_http, connect_mail
from tests.registry_prune.alerts.receivers import HttpReceiver, closed_port

Settings = Callable[..., ClusterSettings]
MakeMessage = Callable[..., Message]


def texts(http: HttpReceiver, path: str) -> list[str]:
    return [body.get("text") or body["message"].splitlines()[0] for where, body in http.posted if where == path]


@pytest.mark.parametrize("channel", ["http", "alertmanager", "apprise", "mail"])
@pytest.mark.parametrize("trouble", ["down", "slow", "refuses"])
def test_a_channel_in_trouble_is_said_in_the_log_and_gets_it_later(
    channel: str, trouble: str, http: HttpReceiver, mail: MailReceiver, settings: Settings, message: MakeMessage,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Guards the limit, and the trying again: no task waits for a receiver, and no receiver misses an alert."""
    monkeypatch.setattr(delivery, "SEND_LIMIT_SECONDS", 0.5 if trouble == "slow" else 30.0)
    if trouble == "down":
        connect_http(monkeypatch, closed_port())
        with monkeypatch.context() as down:
            connect_mail(down, closed_port())
            tell(message(), settings(channel))
    else:
        if trouble == "slow":
            http.may_answer.clear()
            mail.seconds = 60.0
        http.status, mail.refusal = (500, "554 no") if trouble == "refuses" else (200, "")
        began = time.monotonic()
        tell(message(), settings(channel))
        assert time.monotonic() - began < 60, "it waited for the receiver"
    assert "ALERT restore failed: a pod is still read-only" in caplog.text
    assert "It is tried again with the guard's next round" in caplog.text
    assert "a-secret" not in caplog.text
    # Afterwards all is well.
    http.may_answer.set()
    http.status, mail.refusal, mail.seconds = 200, "", 0.0
    connect_http(monkeypatch, http.server_port)
    monkeypatch.setattr(delivery, "SEND_LIMIT_SECONDS", 30.0)
    http.posted.clear()
    mail.mails.clear()
    caplog.clear()
    caplog.set_level(logging.INFO)
    resolve(message(AlertKind.GUARD, resolves=(Incident.GUARD,)), settings(channel))
    assert "ALERT restore failed of" in caplog.text, "it has got out now"
    assert len(http.posted) + len(mail.mails) == 1
    resolve(message(AlertKind.GUARD, resolves=(Incident.GUARD,)), settings(channel))
    assert len(http.posted) + len(mail.mails) == 1, "and once"


def test_thirteen_tries_are_one_incident(http: HttpReceiver, settings: Settings, message: MakeMessage) -> None:
    """A channel whose messages cannot be changed gets one; whoever keeps incidents apart gets each, of one name."""
    to = settings("http", "apprise")
    for number in range(13):
        tell(message(text=f"try {number}"), to)
    assert texts(http, "/apprise") == ["try 0"]
    assert texts(http, "/hook") == [f"try {number}" for number in range(13)]
    assert {body["incident"] for path, body in http.posted if path == "/hook"} == {"restore"}


@pytest.mark.parametrize("louder", [AlertKind.RESTORE_FAILED, AlertKind.IMAGE_LOST, AlertKind.IMAGES_BROKEN])
def test_a_run_whose_louder_alert_somebody_has_is_not_told_to_have_failed_as_well(
    http: HttpReceiver, settings: Settings, message: MakeMessage, caplog: pytest.LogCaptureFixture, louder: AlertKind
) -> None:
    """Whoever did not take the louder one hears of the run; so does everybody of another run, and once it is over."""
    apprise = AlertChannel(channel="apprise", connection="apprise", kinds=("run failed",))  # type: ignore[arg-type]
    to = settings("http").model_copy(update={"alert_channels": (*settings("http").alert_channels, apprise)})
    failed, incident = message(AlertKind.RUN_FAILED, text="it failed"), FACTS[louder].incident
    assert incident is not None
    tell(message(louder, text="worse"), to)
    tell(failed, to)
    assert (texts(http, "/hook"), texts(http, "/apprise")) == (["worse"], ["it failed"])
    assert "ALERT run failed" in caplog.text
    tell(failed.model_copy(update={"run_id": "another"}), to)
    assert texts(http, "/hook") == ["worse", "it failed"]
    resolve(message(AlertKind.GUARD, resolves=(incident,)), to)
    tell(failed, to)
    assert texts(http, "/hook")[-1] == "it failed"


def test_the_end_of_an_incident_goes_to_whoever_was_told_of_it(
    http: HttpReceiver, settings: Settings, message: MakeMessage
) -> None:
    to = settings("http", "apprise", kinds=(AlertKind.RESTORE_FAILED,))
    tell(message(), to)
    tell(message(AlertKind.READ_WRITE, text="pushes are taken again"), to)
    tell(message(AlertKind.READ_WRITE, text="pushes are taken again"), to)
    first, last = [body for path, body in http.posted if path == "/hook"]
    assert (first["status"], last["status"]) == ("firing", "resolved")
    assert (last["alert"], last["incident"]) == ("restore failed", "restore")
    assert texts(http, "/apprise") == ["a pod is still read-only", "Over: restore failed. pushes are taken again"]
    tell(message(text="another night"), to)
    assert texts(http, "/apprise")[-1] == "another night", "it is another incident"


def test_where_the_message_that_ends_an_incident_is_wanted_it_is_the_only_one(
    http: HttpReceiver, settings: Settings, message: MakeMessage
) -> None:
    to = settings("apprise")
    tell(message(AlertKind.READ_ONLY, text="read-only"), to)
    tell(message(AlertKind.READ_WRITE, text="pushes are taken again"), to)
    assert texts(http, "/apprise") == ["read-only", "pushes are taken again"]


def test_each_channel_gets_its_kinds_and_nobody_the_quiet_ones_unasked(
    http: HttpReceiver, settings: Settings, message: MakeMessage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    apprise = AlertChannel(channel="apprise", connection="apprise", kinds=("skipped",))  # type: ignore[arg-type]
    to = settings("http").model_copy(update={"alert_channels": (*settings("http").alert_channels, apprise)})
    tell(message(AlertKind.SKIPPED, text="not worth it"), to)
    tell(message(AlertKind.PRUNED, text="4 GiB"), to)
    assert texts(http, "/apprise") == ["not worth it"]
    assert texts(http, "/hook") == ["4 GiB"]
    caplog.clear()
    tell(message(AlertKind.SKIPPED, text="not worth it"), settings("http"))
    assert "ALERT" not in caplog.text


def test_what_is_overtaken_is_not_sent_any_more(http: HttpReceiver, settings: Settings, message: MakeMessage) -> None:
    """Guards the order: an old "it is firing" after "it is over" would wake somebody for nothing."""
    to = settings("alertmanager")
    tell(message(), to)
    http.status = 500
    tell(message(text="try 2"), to)
    http.status = 200
    http.posted.clear()
    tell(message(AlertKind.READ_WRITE), to)
    resolve(message(AlertKind.GUARD, resolves=(Incident.GUARD,)), to)
    (((sent,)),) = http.bodies
    assert sent["annotations"]["summary"] == "Registry of berlin: resolved: restore failed"


def test_what_nobody_took_for_a_day_is_given_up(
    http: HttpReceiver, settings: Settings, message: MakeMessage, caplog: pytest.LogCaptureFixture
) -> None:
    http.status = 500
    old = message()
    tell(old, settings("http"))
    http.status = 200
    http.posted.clear()
    late = message(AlertKind.GUARD, at=old.at + timedelta(hours=25), resolves=(Incident.GUARD,))
    resolve(late, settings("http"))
    assert http.posted == []
    assert "did not get out by http http hook, and is given up" in caplog.text


def test_where_nothing_can_be_remembered_alerts_still_go_out(
    http: HttpReceiver, settings: Settings, message: MakeMessage, tmp_path: Path
) -> None:
    """Guards that the memory is no condition: told twice is better than not at all."""
    (tmp_path / "kept").write_text("no folder")
    for number in range(2):
        tell(message(text=f"try {number}"), settings("apprise"))
    assert texts(http, "/apprise") == ["try 0", "try 1"]
