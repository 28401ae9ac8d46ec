"""What has changed: a bounded memory for watches that start in the past, and streams of what is to come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import Record, copy_of

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One write.

    :param type: ADDED, MODIFIED or DELETED.
    :param record: the state after it; of a deletion the last state with the deletion's resourceVersion.
    :param previous: the state before it, None for ADDED.
    """

    type: str
    resource: str
    record: Record
    previous: Record | None


@dataclass(frozen=True)
class WatchEvent:
    """A change as a controller sees it.

    :param object: a copy; the receiver may change it.
    """

    type: str
    resource: str
    object: JsonObject


class History:
    """The last changes of one resource.

    :param limit: how many changes are remembered.
    :param first_version: changes up to here are not remembered.
    """

    def __init__(self, limit: int, first_version: int) -> None:
        self._changes: deque[Change] = deque()
        self._limit = limit
        self._forgotten_up_to = first_version

    def append(self, change: Change) -> None:
        """Remember a change; the oldest one goes if there are too many."""
        self._changes.append(change)
        if len(self._changes) > self._limit:
            self._forgotten_up_to = self._changes.popleft().record.version

    def forget(self, version: int) -> None:
        """Forget all there is: a watch from before ``version`` gets 410, as after a compaction."""
        self._changes.clear()
        self._forgotten_up_to = version

    def since(self, version: int) -> list[Change]:
        """The changes after a resourceVersion.

        :raises ApiError: 410, some of them are forgotten.
        """
        if version < self._forgotten_up_to:
            raise ApiError.expired(f"too old resource version: {version} ({self._forgotten_up_to})")
        found: list[Change] = []
        for change in reversed(self._changes):
            if change.record.version <= version:
                break
            found.append(change)
        found.reverse()
        return found


class ChangeStream:
    """The changes from now on, for one consumer on the event loop.

    :param on_close: called once when the consumer has had enough.
    """

    def __init__(self, on_close: Callable[[ChangeStream], None]) -> None:
        self._pending: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self._on_close = on_close
        self._closed = False

    def publish(self, change: Change) -> None:
        """Hand a change to the consumer."""
        self._pending.append(change)
        self._arrived.set()

    def take(self) -> list[Change]:
        """What has arrived since the last call, possibly nothing."""
        taken = list(self._pending)
        self._pending.clear()
        self._arrived.clear()
        return taken

    async def wait(self) -> bool:
        """Wait until something has arrived; False when the stream was closed."""
        if not self._closed and not self._pending:
            await self._arrived.wait()
        return not self._closed

    async def next(self) -> Change | None:
        """The next change; None when the stream was closed."""
        if not await self.wait():
            return None
        change = self._pending.popleft()
        if not self._pending:
            self._arrived.clear()
        return change

    def close(self) -> None:
        """End the stream; whoever waits wakes up."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            self._arrived.set()


class Subscription:
    """Async iterator of :class:`WatchEvent` for controllers. Ends when it is closed."""

    def __init__(self, stream: ChangeStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        change = await self._stream.next()
        if change is None:
            raise StopAsyncIteration
        return WatchEvent(change.type, change.resource, copy_of(change.record.object))

    def close(self) -> None:
        """Stop; an iteration that waits ends."""
        self._stream.close()
