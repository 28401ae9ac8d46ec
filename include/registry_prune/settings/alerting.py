"""Which alerts there are, and where they go (pure)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from include.registry_prune.settings.parameters import StrictModel


class AlertKind(StrEnum):
    """What an alert is about."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    PRUNED = "pruned"
    SLICE = "slice"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    """At a ceiling: a person has to look."""
    RUN_FAILED = "run failed"
    END_NOT_KNOWN = "end not known"
    """Of a run that Airflow calls good: a delete began, and nobody saw its end."""
    RESTORE_FAILED = "restore failed"
    WINDOW_ENDING = "window ending"
    GUARD = "guard"
    IMAGE_LOST = "image lost"
    IMAGES_BROKEN = "images broken"
    TOKEN_ENDING = "token ending"  # noqa: S105  a name, and no secret
    BACKLOG = "backlog"
    APPROVAL = "approval"
    TEST = "test"


QUIET = frozenset({AlertKind.SKIPPED})
"""Only whoever names these kinds gets them."""
OF_EACH_WINDOW = frozenset({AlertKind.READ_ONLY, AlertKind.READ_WRITE})
"""The connection ``alert_connection`` does not get these, as ever: they come in every good night."""
OF_REGISTRY = frozenset(
    {
        AlertKind.READ_ONLY,
        AlertKind.READ_WRITE,
        AlertKind.RESTORE_FAILED,
        AlertKind.WINDOW_ENDING,
        AlertKind.GUARD,
        AlertKind.TEST,
    }
)
"""What the Config CR tells of itself, as Events."""


class ChannelKind(StrEnum):
    """How an alert goes out."""

    APPRISE = "apprise"
    MAIL = "mail"
    ALERTMANAGER = "alertmanager"
    HTTP = "http"
    EVENT = "event"

    @property
    def updates(self) -> bool:
        """Whether whoever is there takes several messages of one incident for one."""
        return self in (ChannelKind.ALERTMANAGER, ChannelKind.HTTP, ChannelKind.EVENT)

    @property
    def resolves(self) -> bool:
        """Whether it has to be told that an incident is over, also where the message that ends it goes there."""
        return self in (ChannelKind.ALERTMANAGER, ChannelKind.HTTP)


class AlertChannel(StrictModel):
    """One way to tell somebody."""

    channel: Annotated[ChannelKind, Field(strict=False)]
    """`apprise` (Slack, Teams, PagerDuty and a hundred others), `mail`, `alertmanager`, or `http`: a POST of JSON."""

    connection: str = Field(default="", pattern=r"^[\w.-]*$")
    """Airflow connection: of type `apprise` or `smtp`; of type `http` for the others."""

    to: str = ""
    """Of `mail`: addresses, with commas between them. Of `apprise`: the tag of the services that are meant; empty: all
    of the connection."""

    endpoint: str = ""
    """Of `http`: path below the connection's URL. Of `alertmanager`: where its API is, if it is not below `/`."""

    kinds: Annotated[tuple[Annotated[AlertKind, Field(strict=False)], ...] | None, Field(strict=False)] = None
    """Which alerts go there, by name. Left out: all but `skipped`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.channel is not ChannelKind.EVENT and not self.connection:
            raise ValueError(f"a channel {self.channel} needs the name of an Airflow connection (connection)")
        if self.channel is ChannelKind.MAIL and "@" not in self.to:
            raise ValueError("a channel mail needs addresses (to)")
        return self

    def takes(self, kind: AlertKind) -> bool:
        """Whether alerts of this kind go there. A test goes everywhere."""
        if kind is AlertKind.TEST:
            return True
        return kind not in QUIET if self.kinds is None else kind in self.kinds

    def text(self) -> str:
        """For people, and to tell one channel of a cluster from another."""
        return " ".join(filter(None, (self.channel.value, self.connection, self.to or self.endpoint)))
