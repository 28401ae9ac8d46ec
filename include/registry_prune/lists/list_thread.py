"""A list that is written beside whoever fills it: no storage that hangs holds up a delete, or a window (pure)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.units import format_seconds

if TYPE_CHECKING:
    from include.registry_prune.lists.candidate_list import ListWriter

LINES_AT_ONCE = 1_000
HAND_ON_SECONDS = 1.0
"""Where lines come slowly, how often they are handed on: what the storage says of them is not known before."""
WAITING_LINES = 30_000
"""At most this much is kept in memory while the storage is slower than the pruner: some 3 MiB."""


class ListStalledError(OSError):
    """The storage takes nothing any more; the message says for how long, and what to do."""


class _AbandonedError(Exception):
    """Whoever filled the list has given it up."""


class ListThread:
    """Hands the lines of a list to a thread that writes them.

    :param opened: makes the list; it is entered, filled and left by the thread alone.
    :param place: of the list, for messages.
    :param patience_seconds: how long the storage may take nothing while somebody waits for it.
    :param waiting_lines: at most this many lines may wait.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[ListWriter]],
        place: object,
        *,
        patience_seconds: float,
        waiting_lines: int = WAITING_LINES,
    ) -> None:
        self._opened = opened
        self._place = place
        self._patience = patience_seconds
        self._most = waiting_lines
        self._changed = threading.Condition()
        self._batches: deque[tuple[list[tuple[LineKind, Sequence[bytes] | str]], int]] = deque()
        self._waiting = self._taken = 0
        self._closing = self._abandoned = self._over = False
        self._problem: BaseException | None = None
        self.complete = True
        """False once lines had to be left out."""
        self._lines: list[tuple[LineKind, Sequence[bytes] | str]] = []
        self._line_count = 0
        self._handed_on = time.monotonic()

    def start(self) -> None:
        """Begin, in a thread that holds no process."""
        threading.Thread(target=self.write_all, name="list", daemon=True).start()

    def write_all(self) -> None:
        """What the thread does, until the list is finished or given up; for who starts the thread himself."""
        try:
            with self._opened() as writer:
                while (batch := self._next()) is not None:
                    lines, count = batch
                    for kind, subject in lines:
                        if isinstance(subject, str):
                            writer.add(kind, subject)
                        else:
                            writer.add_blobs(subject)
                    with self._changed:
                        self._waiting -= count
                        self._taken += count
                        self._changed.notify_all()
                writer.complete = self.complete
        except _AbandonedError:
            pass
        except BaseException as error:  # object storages raise errors of their own libraries; it is raised to the front
            self._problem = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _next(self) -> tuple[list[tuple[LineKind, Sequence[bytes] | str]], int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._closing)
            if self._abandoned:
                raise _AbandonedError
            return self._batches.popleft() if self._batches else None

    def add(self, kind: LineKind, subject: str) -> None:
        """Add one line.

        :raises ListStalledError: if there is no room for it in time; so do all others.
        :raises Exception: what the storage raised.
        """
        self._lines.append((kind, subject))
        self._counted(1)

    def add_blobs(self, digests: Sequence[bytes]) -> None:
        """Add many blobs at once: 64 hexadecimal digits each."""
        if digests:
            self._lines.append((LineKind.BLOB, digests))
            self._counted(len(digests))

    def _counted(self, count: int) -> None:
        self._line_count += count
        if self._line_count >= LINES_AT_ONCE or time.monotonic() - self._handed_on >= HAND_ON_SECONDS:
            self.hand_on()

    def hand_on(self) -> None:
        """Hand on what was added so far."""
        lines, count = self._lines, self._line_count
        self._lines, self._line_count, self._handed_on = [], 0, time.monotonic()
        with self._changed:
            if lines and not self._moves_on(lambda: not self._waiting or self._waiting + count <= self._most):
                self.complete = False
                raise self._stalled()
            if self._problem is not None:
                raise self._problem
            if lines:
                self._batches.append((lines, count))
                self._waiting += count
                self._changed.notify_all()

    def close(self) -> None:
        """Have the list finished, without waiting for it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Finish the list, and wait until it is."""
        self.hand_on()
        self.close()
        with self._changed:
            if not self._moves_on(lambda: False):
                raise self._stalled()
        if self._problem is not None:
            raise self._problem

    def abandon(self) -> None:
        """Give the list up: it is not finished, so that no program takes it for whole."""
        with self._changed:
            self._abandoned = True
        self.close()
        with self._changed:
            self._changed.wait_for(lambda: self._over, timeout=min(self._patience, HAND_ON_SECONDS))

    def _moves_on(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition, or the thread's end, as long as the storage takes something now and then."""
        while not (condition() or self._over):
            taken = self._taken
            self._changed.wait(self._patience)
            if taken == self._taken and not (condition() or self._over):
                return False
        return True

    def _stalled(self) -> ListStalledError:
        return ListStalledError(
            f"{self._place} cannot be written: its storage has taken nothing for {format_seconds(self._patience)}. See "
            "that what the setting artifacts names answers"
        )
