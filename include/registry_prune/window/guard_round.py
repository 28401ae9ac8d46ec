"""What one look of the guard at a cluster found (pure)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from include.registry_prune.records import Record


class Found(StrEnum):
    """What the guard found."""

    NOTHING = "nothing to do"
    AT_WORK = "a run is at work"
    LATE = "a window is near its end"
    CLOSED = "closed a window"
    DELETE_ENDED = "ended a delete beside pushes"
    UNEXPLAINED = "read-only without a lease"


class GuardRound(Record):
    """One look of the guard at one cluster.

    :param message: for the administrator.
    :param alert: somebody should be told.
    :param alerted_at: of a registry that is read-only without a lease: when somebody was last told.
    :param read_only_seconds: of a window that it closed, or since the oldest read-only pod of an unexplained one.
    :param must_end_by: of an open window that nobody has begun to close.
    :param token_expires_at: when the account's token ends, if it tells.
    :param looked_at: when the round was over.
    :param read_only: whether the registry was read-only then; None: not known.
    :param read_only_since: when it was made so; of a registry that somebody else made read-only: not later than that.
    :param cluster_id: of the cluster that it looked at; empty if that does not tell.
    :param holder: ``dag_id/run_id`` of the run whose window is open; ``closed_run``: of the one whose window it closed.
    """

    version: Literal[1] = 1
    found: Found
    message: str
    read_only_seconds: float | None = None
    must_end_by: AwareDatetime | None = None
    alert: bool = False
    alerted_at: AwareDatetime | None = None
    token_expires_at: AwareDatetime | None = None
    looked_at: AwareDatetime | None = None
    read_only: bool | None = None
    read_only_since: AwareDatetime | None = None
    cluster_id: str = ""
    holder: str = ""
    closed_run: str = ""

    def judged(self, last: GuardRound | None, *, now: datetime, limit_seconds: float) -> GuardRound:
        """The same round, with whether somebody should be told of it (pure).

        Of a registry that somebody else made read-only: when the limit is reached, and again whenever it has passed
        since the last alert.

        :param last: the round before, as far as it is known.
        """
        if self.found is not Found.UNEXPLAINED or self.read_only_seconds is None:
            return self.model_copy(update={"alert": self.found in (Found.CLOSED, Found.DELETE_ENDED)})
        told = last.alerted_at if last is not None and last.found is Found.UNEXPLAINED else None
        due = told is None or (now - told).total_seconds() >= limit_seconds
        alert = due and self.read_only_seconds >= limit_seconds
        return self.model_copy(update={"alert": alert, "alerted_at": now if alert else told})
