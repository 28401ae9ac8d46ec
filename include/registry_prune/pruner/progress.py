"""What a task's log shows of a pruner: how far it is, and the lines that a person should see (pure)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime

from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.output import Line
from include.registry_prune.records import Record
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

FIRST_PROGRESS_SECONDS = 0.5
PROGRESS_SHARE = 0.05
"""Progress is said again after this share of the time so far."""
TOLD_EVERY_SECONDS = 3.0
"""Whoever shows it is told so often: somebody may be looking."""

_SHOWN_LINES = 100
_SHOWN_CHARACTERS = 1000


def show(pod: str, line: Line, count: int) -> None:
    """Show a line that is an error, a warning or unknown: the first hundred of each kind.

    :param count: which one of its kind it is.
    """
    if count > _SHOWN_LINES:
        return
    if line.kind in (LineKind.ERROR, LineKind.WARNING):
        log.warning("%s | %s: %s", pod, line.kind, line.subject[:_SHOWN_CHARACTERS])
    elif line.kind is LineKind.UNKNOWN:
        log.info("%s | %s", pod, line.subject[:_SHOWN_CHARACTERS])


class DeleteProgress(Record):
    """How far a delete is, for the page.

    :param at: when that was so.
    :param blobs: deleted so far, in all attempts; ``expected_blobs``: by the dry run, if it is known.
    :param blobs_per_second: of late; 0 before the first.
    :param seconds: that the delete has worked; ``estimated_seconds``: what was expected, if it is known.
    :param ends_by: when it is ended, whatever is left then.
    """

    version: Literal[1] = 1
    at: AwareDatetime
    blobs: int
    expected_blobs: int | None = None
    blobs_per_second: float = 0.0
    seconds: float
    estimated_seconds: float | None = None
    ends_by: AwareDatetime | None = None


class Progress:
    """The progress of one dry run or delete. What it says never goes back.

    The pruner scans the whole storage before it names the first blob: the rate, and with it the time that is left, is
    of the blobs alone, and of the later part of the time so far rather than of all of it.

    :param expected: how many blobs there will be, if that is known.
    :param done_before: blobs that were done before this pruner began; ``counted``: by this pruner, as far as known.
    :param running_for: seconds since it began.
    :param ends_by: when it is ended, whatever is left then; None: it goes on to its end.
    :param estimated_seconds: how long it was expected to take in all, if that is known.
    :param tell: gets how far it is, every few seconds. It must not wait.
    :param silence_seconds: after this many seconds without another blob the log says so; None or 0: never.
    """

    def __init__(
        self,
        mode: Literal["check", "delete"],
        expected: int | None,
        *,
        done_before: int = 0,
        counted: int = 0,
        running_for: float = 0.0,
        ends_by: datetime | None = None,
        estimated_seconds: float | None = None,
        silence_seconds: float | None = None,
        tell: Callable[[DeleteProgress], object] = lambda progress: None,
    ) -> None:
        self._tell, self._told = tell, float("-inf")
        self._verb = "listed" if mode == "check" else "deleted"
        self._expected = expected
        self._before, self._most = done_before, done_before + counted
        now = time.monotonic()
        self._started = now - running_for
        self._said = self._heard = self._looked = now
        self._ends_by = ends_by
        self._estimated = estimated_seconds
        self._silence = silence_seconds
        self._silence_said = 0
        self._rate_from: tuple[float, int] | None = None
        self._rate_from_next: tuple[float, int] = (0.0, 0)

    def blobs(self, count: int) -> None:
        """Count the blobs that there are now, and log the progress when it is time to."""
        now = time.monotonic()
        if self._before + count > self._most:
            self._reckon_from(self._looked, self._most)
            self._most, self._heard, self._silence_said = self._before + count, now, 0
        self._looked = now
        if now - self._told >= TOLD_EVERY_SECONDS:
            self._told = now
            self._tell(self.figures())
        pause = max(FIRST_PROGRESS_SECONDS, PROGRESS_SHARE * (now - self._started))
        if now - self._said >= pause:
            self._said = now
            self.say()

    def tick(self) -> None:
        """The pruner lives, and has printed nothing new."""
        if not self._silence:
            return
        silent = time.monotonic() - self._heard
        if silent // self._silence <= self._silence_said:
            return
        self._silence_said = int(silent // self._silence)
        if self._most == self._before:
            log.info("The pruner is alive and scans the storage, before the first blob; so far for %s", self._so_far())
        else:
            log.warning("The pruner is alive, but has named no new blob for %s", format_seconds(silent))

    def say(self, count: int | None = None) -> None:
        """Say it now."""
        if count is not None and self._before + count > self._most:
            self._reckon_from(self._looked, self._most)
            self._most = self._before + count
        done = self._most
        rate = self._rate(time.monotonic())
        of = f" of {self._expected:,}" if self._expected else ""
        share = f" ({100 * done / self._expected:.0f} %)" if self._expected else ""
        left = (self._expected or 0) - done
        when = f", done in about {format_seconds(left / rate)}" if left > 0 and rate > 0 else ""
        if self._ends_by is not None:
            time_left = max((self._ends_by - datetime.now(UTC)).total_seconds(), 0.0)
            if left > rate * time_left and rate > 0:
                when = f", a slice of about {done + int(rate * time_left):,} of them in this window"
            when += f"; it is ended in {format_seconds(time_left)}, at {self._ends_by:%H:%M:%S %Z}"
        if self._estimated:
            when += f"; so far {self._so_far()}"
        log.info("progress: %s%s blobs %s%s, %.0f blobs/s%s", f"{done:,}", of, self._verb, share, rate, when)

    def figures(self) -> DeleteProgress:
        """As figures, for who shows them."""
        now = time.monotonic()
        return DeleteProgress(
            at=datetime.now(UTC),
            blobs=self._most,
            expected_blobs=self._expected,
            blobs_per_second=round(self._rate(now), 3),
            seconds=round(now - self._started, 1),
            estimated_seconds=self._estimated,
            ends_by=self._ends_by,
        )

    def _so_far(self) -> str:
        """How long it has been at work, and how long that was expected to be."""
        so_far = format_seconds(time.monotonic() - self._started)
        return f"{so_far} of an estimated {format_seconds(self._estimated)}" if self._estimated else so_far

    def _reckon_from(self, moment: float, done: int) -> None:
        """The rate may be reckoned from this moment on, when so many blobs were done.

        From the first blob on at first, then from later moments: what a follower reads at once of the hours before it
        came must not look like the rate for hours.
        """
        if self._rate_from is None:
            self._rate_from = self._rate_from_next = (moment, done)
        elif moment - self._rate_from_next[0] > 2 * (self._rate_from_next[0] - self._rate_from[0]) + 1:
            self._rate_from, self._rate_from_next = self._rate_from_next, (moment, done)

    def _rate(self, now: float) -> float:
        """Blobs per second; 0 before the first."""
        if self._rate_from is None:
            return 0.0
        moment, done = self._rate_from
        return (self._most - done) / max(now - moment, 0.001)
