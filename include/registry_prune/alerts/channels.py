"""The ways in which an alert goes out. Each is a library that others keep: its module is imported when it is needed.

A further way: its name in ``ChannelKind`` (``settings/alerting.py``), and who sends by it here.
"""

from __future__ import annotations

import html
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.registry_prune.alerts.message import FIRES_FOR, Message, Status
from include.registry_prune.settings.alerting import AlertChannel, ChannelKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.registry_prune.settings.clusters import ClusterSettings

SAID_FOR = timedelta(hours=1)
"""So long Alertmanager shows what there is nothing to resolve of."""


class NotSentError(Exception):
    """An alert did not get out by one channel; the message says why.

    :param for_good: it will not, however often it is tried.
    """

    def __init__(self, problem: str, *, for_good: bool = False) -> None:
        super().__init__(problem)
        self.for_good = for_good


def send(message: Message, channel: AlertChannel, settings: ClusterSettings, *, limit_seconds: float) -> None:
    """Send an alert by one channel.

    :param limit_seconds: for each answer, where the library lets one say so.
    :raises Exception: whatever the connection, the network and the receiver come up with.
    """
    _SENDERS[channel.channel](message, channel, settings, limit_seconds)


def _post(message: Message, channel: AlertChannel, settings: ClusterSettings, limit_seconds: float) -> None:
    from airflow.providers.http.hooks.http import HttpHook

    HttpHook(method="POST", http_conn_id=channel.connection).run(
        channel.endpoint or None, json=message.body(), extra_options={"timeout": limit_seconds}
    )


def _alertmanager(message: Message, channel: AlertChannel, settings: ClusterSettings, limit_seconds: float) -> None:
    """By its API of version 2: alerts with the same labels are one, which is updated."""
    from airflow.providers.http.hooks.http import HttpHook

    HttpHook(method="POST", http_conn_id=channel.connection).run(
        f"{channel.endpoint.rstrip('/')}/api/v2/alerts",
        json=[alertmanager_alert(message)],
        extra_options={"timeout": limit_seconds},
    )


def alertmanager_alert(message: Message) -> dict[str, Any]:
    """An alert in Alertmanager's words. Without an end it would be over after five minutes (``resolve_timeout``)."""
    lasts = {Status.FIRING: FIRES_FOR, Status.SAID: SAID_FOR, Status.RESOLVED: timedelta(0)}[message.status]
    name = (message.incident or message.kind).replace("-", " ").title().replace(" ", "")
    found: dict[str, Any] = {
        # What does not change while an incident lasts: by these it is known again.
        "labels": {
            "alertname": f"RegistryPrune{name}",
            "cluster": message.cluster,
            "dag_id": message.dag_id,
            "severity": message.severity,
        },
        "annotations": {
            "summary": message.title,
            "description": message.text,
            "next_step": message.next_step,
            "runbook_url": message.runbook,
            "run_id": message.run_id,
        },
        "endsAt": (message.at + lasts).isoformat(),
    }
    if message.status is not Status.RESOLVED:
        found["startsAt"] = message.at.isoformat()
    return found | ({"generatorURL": message.run_url} if message.run_url else {})


def _mail(message: Message, channel: AlertChannel, settings: ClusterSettings, limit_seconds: float) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    # Mail programs show what has the same reference as one conversation.
    reference = f"<{message.dag_id}.{message.incident or message.kind.replace(' ', '-')}.{message.run_id or 'guard'}"
    with SmtpHook(channel.connection) as hook:
        hook.send_email_smtp(
            to=[address.strip() for address in channel.to.split(",")],
            subject=message.title,
            html_content=f"<pre>{html.escape(message.full_text())}</pre>",
            custom_headers={"References": f"{reference}@registry-prune>"},
        )


def _apprise(message: Message, channel: AlertChannel, settings: ClusterSettings, limit_seconds: float) -> None:
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyType

    hook, services = AppriseHook(channel.connection), Apprise()
    hook.set_config_from_conn(hook.get_connection(channel.connection), services)
    if not services:
        raise NotSentError("the connection names no service that Apprise knows", for_good=True)
    kind = {"critical": NotifyType.FAILURE, "warning": NotifyType.WARNING}.get(message.severity, NotifyType.INFO)
    if message.status is Status.RESOLVED:
        kind = NotifyType.SUCCESS
    # Not by the provider's notify: it does not say whether anything was sent.
    if not services.notify(body=message.full_text(), title=message.title, notify_type=kind, tag=channel.to or "all"):
        raise NotSentError("at least one service did not take it; the lines of apprise in this log say which")


def _event(message: Message, channel: AlertChannel, settings: ClusterSettings, limit_seconds: float) -> None:
    """On the Config CR, so that ``oc describe`` shows it. One incident is one Event, its end included, which counts."""
    from include.registry_prune.cluster.error import ClusterError
    from include.registry_prune.connection import connect

    about = message.incident or (message.resolves[0] if message.resolves else message.kind)
    try:
        connect(settings.connection).note_on_config(
            name=f"{message.dag_id}.{about}".replace("_", "-").replace(" ", "-"),
            reason=f"RegistryPrune{message.kind.title().replace('-', '').replace(' ', '')}",
            text=message.full_text(),
            warns=message.severity != "info" and message.status is not Status.RESOLVED,
            at=message.at,
        )
    except ClusterError as error:
        raise NotSentError(str(error), for_good=error.permanent) from error


_SENDERS: dict[ChannelKind, Callable[[Message, AlertChannel, ClusterSettings, float], None]] = {
    ChannelKind.HTTP: _post,
    ChannelKind.ALERTMANAGER: _alertmanager,
    ChannelKind.MAIL: _mail,
    ChannelKind.APPRISE: _apprise,
    ChannelKind.EVENT: _event,
}
