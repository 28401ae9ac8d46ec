"""Gets alerts out: by every channel that wants them, at once, and never for longer than a task can wait.

What a channel does not take is tried again with the next alert of the cluster, and by each round of its guard.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from include.registry_prune.alerts.channels import NotSentError, send
from include.registry_prune.alerts.message import FACTS, Incident, Message, Status
from include.registry_prune.alerts.noted import Noted, OpenIncident
from include.registry_prune.settings.alerting import QUIET, AlertChannel, AlertKind, ChannelKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from include.registry_prune.settings.clusters import ClusterSettings

log = logging.getLogger(__name__)

SEND_LIMIT_SECONDS = 10.0
"""A receiver that does not answer may not hold up the dag-processor, or the task, that the alert comes from."""
WHOLE_LIMIT_SECONDS = 25.0
"""For all of it: what is remembered may be in a bucket that does not answer."""
GIVEN_UP_AFTER = timedelta(hours=24)

_LOUDER = (Incident.RESTORE, Incident.IMAGES)
"""Whoever was told of one of these knows that its run has failed: one trouble is one alert."""

Outgoing = tuple[Message, AlertChannel]


def tell(message: Message, settings: ClusterSettings) -> None:
    """Send an alert to whoever is to be told, and to the log, unless nobody wants to hear of its kind. It never raises,
    and comes back soon: the log has what did not get out."""
    if message.kind not in QUIET or any(_wants(channel, message) for channel in settings.channels):
        log.log(FACTS[message.kind].level, "ALERT %s: %s", message.kind, message.full_text())
    _within_limit(lambda: _tell(message, settings), str(message.kind))


def resolve(message: Message, settings: ClusterSettings) -> None:
    """Send that incidents are over, where some are open, and nothing else; and what has not got out yet."""
    _within_limit(lambda: _send_all(_resolutions(message, settings), settings, message), "resolved")


def try_channels(message: Message, settings: ClusterSettings) -> dict[str, str]:
    """Send a test to every channel.

    :return: of each channel, what is wrong with it; empty: it took the message.
    """
    outgoing = [(message, channel) for channel in settings.channels]
    return {
        channel.text(): problem for (_, channel), problem in zip(outgoing, _at_once(outgoing, settings), strict=True)
    }


def _within_limit(work: Callable[[], None], what: str) -> None:
    def guarded() -> None:
        try:
            work()
        except Exception as error:  # of the storage that remembers, whatever it is
            log.error("ALERT %s: what has become of it is not known: %s", what, error)  # noqa: TRY400

    thread = threading.Thread(target=guarded, name=f"alert {what}", daemon=True)
    thread.start()
    thread.join(WHOLE_LIMIT_SECONDS)
    if thread.is_alive():
        log.error("ALERT %s: it has not got out within %g s; nobody waits for it any longer", what, WHOLE_LIMIT_SECONDS)


def _tell(message: Message, settings: ClusterSettings) -> None:
    noted = Noted(settings)
    know_it = _told_by_a_louder_one(noted, message)
    wanting = [each for each in settings.channels if _wants(each, message) and each.text() not in know_it]
    known = _known(noted, message.incident) if message.status is Status.FIRING else None
    told = known.told if known else ()
    new = [channel for channel in wanting if channel.channel.updates or channel.text() not in told]
    outgoing = _resolutions(message, settings) + [(message, channel) for channel in new]
    if not outgoing and not wanting:
        return
    _send_all(outgoing, settings, message)
    if message.incident is not None and message.status is Status.FIRING:
        all_told = tuple(dict.fromkeys([*told, *(channel.text() for channel in wanting)]))
        _try_to_note(lambda: noted.open(message.incident, OpenIncident(message=message, told=all_told)))  # type: ignore[arg-type]


def _told_by_a_louder_one(noted: Noted, message: Message) -> set[str]:
    """The channels that need not hear that a run has failed: they were told of the same run what is worse."""
    if message.kind is not AlertKind.RUN_FAILED:
        return set()
    louder = [known for incident in _LOUDER if (known := _known(noted, incident)) is not None]
    return {channel for known in louder if known.message.run_id == message.run_id for channel in known.told}


def _known(noted: Noted, incident: Incident | None) -> OpenIncident | None:
    """The incident, if somebody was told of it and it is not over."""
    if incident is None:
        return None
    try:
        return noted.open_incident(incident)
    except Exception as error:  # of the storage: told twice is better than not at all
        log.warning("Whether somebody was told of %s already is not known: %s", incident, error)
        return None


def _wants(channel: AlertChannel, message: Message) -> bool:
    if channel.channel is ChannelKind.ALERTMANAGER and channel.kinds is None and message.status is Status.SAID:
        # Good news is no alert: there, what it resolves goes away.
        return message.severity != "info"
    return channel.takes(message.kind)


def _resolutions(message: Message, settings: ClusterSettings) -> list[Outgoing]:
    """That open incidents are over with a message: for channels that were told, and do not get that message itself."""
    if not message.resolves:
        return []
    noted, outgoing = Noted(settings), list[Outgoing]()
    for incident in message.resolves:
        try:
            known = noted.open_incident(incident)
            if known is None:
                continue
            for channel in settings.channels:
                if channel.text() in known.told and (channel.channel.resolves or not _wants(channel, message)):
                    outgoing.append((message.resolution(known.message), channel))
            noted.close(incident)
        except Exception as error:  # of the storage that remembers
            log.warning("Whether %s is still open for somebody is not known: %s", incident, error)
    return outgoing


def _send_all(outgoing: Sequence[Outgoing], settings: ClusterSettings, message: Message) -> None:
    """Send all of it, and what has not got out before; remember what does not get out now."""
    noted = Noted(settings)
    again = _left_over(noted, settings, outgoing, message)
    every = [*again, *outgoing]
    for (sent, channel), problem in zip(every, _at_once(every, settings), strict=True):
        if not problem:
            if (sent, channel) in again:
                log.info("ALERT %s of %s has got out by %s now", sent.kind, f"{sent.at:%H:%M}", channel.text())
            _try_to_note(lambda sent=sent, channel=channel: noted.settle(sent, channel.text()))  # type: ignore[misc]
            continue
        for_good = problem.startswith(_FOR_GOOD)
        how = (
            f"could not be posted through the Airflow connection {channel.connection}"
            if channel.channel is ChannelKind.HTTP
            else f"did not get out by {channel.text()}"
        )
        what_next = "It is not tried again" if for_good else "It is tried again with the guard's next round"
        log.error("ALERT %s %s: %s. %s", sent.kind, how, problem.removeprefix(_FOR_GOOD).rstrip("."), what_next)
        if not for_good:
            _try_to_note(lambda sent=sent, channel=channel: noted.put_off(sent, channel))  # type: ignore[misc]


_FOR_GOOD = "for good: "


def _left_over(
    noted: Noted, settings: ClusterSettings, outgoing: Sequence[Outgoing], message: Message
) -> list[Outgoing]:
    """What has not got out yet, without what is overtaken by what goes out now, and what is too old."""
    try:
        pending = noted.pending()
    except Exception as error:  # of the storage that remembers
        log.warning("Whether alerts wait to be sent again is not known: %s", error)
        return []
    channels = {channel.text(): channel for channel in settings.channels}
    now = {(sent.incident or sent.kind, channel.text()) for sent, channel in outgoing}
    left: list[Outgoing] = []
    for each in pending:
        old = each.message
        if (old.incident or old.kind, each.channel) in now:
            continue
        if each.channel not in channels or message.at - old.at > GIVEN_UP_AFTER:
            log.error("ALERT %s of %s did not get out by %s, and is given up", old.kind, old.at, each.channel)
            noted.settle(old, each.channel)
            continue
        left.append((old, channels[each.channel]))
    return left


def _at_once(outgoing: Sequence[Outgoing], settings: ClusterSettings) -> list[str]:
    """Send all of it side by side; of each what went wrong, or nothing."""
    limit = SEND_LIMIT_SECONDS
    problems = [f"no answer for {limit:g} s"] * len(outgoing)

    def work(number: int, message: Message, channel: AlertChannel) -> None:
        try:
            send(message, channel, settings, limit_seconds=limit)
        except NotSentError as error:
            problems[number] = f"{_FOR_GOOD if error.for_good else ''}{error}"
        except Exception as error:  # whatever the connection, the network and the receiver come up with
            problems[number] = str(error) or repr(error)
        else:
            problems[number] = ""

    threads = [
        threading.Thread(target=work, args=(number, message, channel), name=f"alert by {channel.text()}", daemon=True)
        for number, (message, channel) in enumerate(outgoing)
    ]
    for thread in threads:
        thread.start()
    # One limit for all of them together; a second more, so that a library's own limit comes first and says more.
    deadline = time.monotonic() + limit + 1.0
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return list(problems)


def _try_to_note(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # of the storage that remembers
        log.warning("What became of an alert cannot be remembered: %s", error)
