"""What is remembered of alerts, beside the reports: which incidents are open, and what has not got out yet.

What cannot be read is taken for not there: an alert that comes twice is better than none.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Literal, TypeVar

from include.registry_prune.alerts.message import Incident, Message
from include.registry_prune.lists.artifacts import artifact_folder, write_whole
from include.registry_prune.records import Record

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from include.registry_prune.settings.alerting import AlertChannel
    from include.registry_prune.settings.clusters import ClusterSettings

log = logging.getLogger(__name__)

N = TypeVar("N", bound=Record)


class OpenIncident(Record):
    """An incident that somebody was told of.

    :param told: the channels by which.
    """

    version: Literal[1] = 1
    message: Message
    told: tuple[str, ...] = ()


class Pending(Record):
    """An alert that one channel did not take."""

    version: Literal[1] = 1
    message: Message
    channel: str


class Noted:
    """What is remembered for one cluster."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._folder = artifact_folder(settings.artifacts) / "alerts" / settings.dag_id

    def open_incident(self, incident: Incident) -> OpenIncident | None:
        """An incident, if it is open."""
        return self._read(self._folder / f"open-{incident}.json", OpenIncident)

    def open(self, incident: Incident, found: OpenIncident) -> None:
        """Note an incident as open."""
        write_whole(self._folder / f"open-{incident}.json", found.model_dump_json().encode())

    def close(self, incident: Incident) -> None:
        """Note an incident as over."""
        (self._folder / f"open-{incident}.json").unlink(missing_ok=True)

    def pending(self) -> list[Pending]:
        """What has not got out yet, the oldest first."""
        self._folder.fs.invalidate_cache()
        if not self._folder.exists():
            return []
        found = [self._read(path, Pending) for path in self._folder.glob("pending-*.json")]
        return sorted((each for each in found if each is not None), key=lambda each: each.message.at)

    def put_off(self, message: Message, channel: AlertChannel) -> None:
        """Note that a channel did not take an alert: in place of an earlier one of the same incident."""
        entry = Pending(message=message, channel=channel.text())
        write_whole(self._pending_path(message, channel.text()), entry.model_dump_json().encode())

    def settle(self, message: Message, channel: str) -> None:
        """Note that a channel has taken an alert, or never will."""
        self._pending_path(message, channel).unlink(missing_ok=True)

    def _pending_path(self, message: Message, channel: str) -> ObjectStoragePath:
        name = hashlib.sha256(f"{message.incident or message.kind}|{channel}".encode()).hexdigest()[:16]
        return self._folder / f"pending-{name}.json"

    def _read(self, path: ObjectStoragePath, kind: type[N]) -> N | None:
        try:
            return kind.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s is passed over, as it cannot be read: %s", path, error)
            return None
