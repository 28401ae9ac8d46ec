"""What a task's log shows of a pruner: how far it is, and the lines that a person should see."""

from __future__ import annotations

import logging
import time
from typing import Literal

from include.registry_prune.dockerregistry import LineKind
from include.registry_prune.pruner_output import Line
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

FIRST_PROGRESS_SECONDS = 0.5
PROGRESS_SHARE = 0.05
"""Progress is said again after this share of the time so far."""

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


class Progress:
    """The progress of one dry run or delete. What it says never goes back.

    :param expected: how many blobs there will be, if that is known.
    :param done_before: blobs that were done before this pruner began.
    :param running_for: seconds since it began.
    :param silence_seconds: after so long without anything new it is said that the pruner prints nothing.
    """

    def __init__(
        self,
        mode: Literal["check", "delete"],
        expected: int | None,
        *,
        done_before: int = 0,
        running_for: float = 0.0,
        silence_seconds: float | None = None,
    ) -> None:
        self._verb = "listed" if mode == "check" else "deleted"
        self._expected = expected
        self._before = self._most = done_before
        now = time.monotonic()
        self._started = now - running_for
        self._said = self._heard = now
        self._silence = silence_seconds
        self._silence_said = 0

    def blobs(self, count: int) -> None:
        """There are so many blobs now; it is said when it is time to."""
        now = time.monotonic()
        if self._before + count > self._most:
            self._most, self._heard, self._silence_said = self._before + count, now, 0
        pause = max(FIRST_PROGRESS_SECONDS, PROGRESS_SHARE * (now - self._started))
        if now - self._said >= pause:
            self._said = now
            self.say()

    def tick(self) -> None:
        """The pruner lives, and has printed nothing new."""
        if self._silence is None:
            return
        silent = time.monotonic() - self._heard
        if silent // self._silence > self._silence_said:
            self._silence_said = int(silent // self._silence)
            log.warning("The pruner lives, but has not gone on to another blob for %s", format_seconds(silent))

    def say(self, count: int | None = None) -> None:
        """Say it now."""
        if count is not None:
            self._most = max(self._most, self._before + count)
        done = self._most
        rate = (done - self._before) / max(time.monotonic() - self._started, 0.001)
        of = f" of {self._expected:,}" if self._expected else ""
        share = f" ({100 * done / self._expected:.0f} %)" if self._expected else ""
        left = (self._expected or 0) - done
        when = f", done in about {format_seconds(left / rate)}" if left > 0 and rate > 0 else ""
        log.info("progress: %s%s blobs %s%s, %.0f blobs/s%s", f"{done:,}", of, self._verb, share, rate, when)
