"""When a window has to end, and when the work in it has to (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CLOSING_BY_OPENING = 1.25
"""The rollout back takes about as long as the one to read-only did a moment ago; a quarter more is for chance."""
CLOSING_MARGIN = timedelta(seconds=10)
"""For the end of the pruner, the start of the task that closes, and its patch."""


@dataclass(frozen=True)
class WindowEnd:
    """The end of a window.

    :param must_end_by: when the registry has to take pushes again.
    """

    must_end_by: datetime

    @classmethod
    def of(cls, opens_at: datetime, *, limit: timedelta, hours_end: datetime | None) -> WindowEnd:
        """The end of a window that opens now.

        :param limit: the setting ``window_limit``.
        :param hours_end: when the opening hours end; None if they do not.
        """
        end = opens_at + limit
        return cls(end if hours_end is None else min(end, hours_end))

    def rollout_ends_by(self, now: datetime) -> datetime:
        """When the registry has to be settled read-only: the same time once more has to be left for the way back."""
        return now + max((self.must_end_by - now) / 2, timedelta(0))

    def work_ends_by(self, opening_seconds: float) -> datetime:
        """When the work in the window has to be over.

        :param opening_seconds: how long the registry took to settle read-only.
        """
        return self.must_end_by - CLOSING_MARGIN - timedelta(seconds=CLOSING_BY_OPENING * opening_seconds)

    def text(self) -> str:
        """For people."""
        return f"{self.must_end_by:%Y-%m-%d %H:%M:%S %Z}"
