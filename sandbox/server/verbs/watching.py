"""GET with ``watch``: a stream of changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

from aiohttp import web

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.kubectl.representation import Representation, negotiate
from sandbox.server.objects import history
from sandbox.server.objects.collection import Record, copy_of, encode
from sandbox.server.objects.history import Change, ChangeStream
from sandbox.server.objects.selectors import Predicate, field_selector, label_selector
from sandbox.server.objects.store import Store
from sandbox.server.request_info import is_true
from sandbox.server.responses import cut_connection
from sandbox.server.verbs.api_request import ApiRequest

BOOKMARK_SECONDS = 10.0
_SHORTEST_LIFE_SECONDS = 1800
_CLIENT_CHECK_SECONDS = 1.0
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class Watcher:
    """Answers ``watch``.

    :param bookmark_seconds: how often a client that wants bookmarks gets one.
    """

    def __init__(self, store: Store, bookmark_seconds: float = BOOKMARK_SECONDS) -> None:
        self._store = store
        self._bookmark_seconds = bookmark_seconds
        self._open: set[ChangeStream] = set()

    async def watch(self, request: ApiRequest) -> web.StreamResponse:
        """Send changes until ``timeoutSeconds`` are over, the client is gone, or the server stops."""
        session = _Session(self._store, request)
        stream = self._store.stream(request.resource_type.name)
        self._open.add(stream)
        try:
            # Taken before anything is awaited: no change falls between the beginning and the stream.
            beginning = session.beginning()
            await session.response.prepare(request.http)
            await self._run(session, stream, beginning)
        finally:
            self._open.discard(stream)
            stream.close()
        return session.response

    def close(self) -> None:
        """End all watches: the server stops."""
        for stream in list(self._open):
            stream.close()

    async def _run(self, session: _Session, stream: ChangeStream, beginning: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + session.life_seconds
        next_bookmark = loop.time() + self._bookmark_seconds
        if not await session.send(beginning) or session.failed:
            return
        while loop.time() < deadline and not session.client_is_gone:
            wait = min(_CLIENT_CHECK_SECONDS, deadline - loop.time(), next_bookmark - loop.time())
            try:
                if not await asyncio.wait_for(stream.wait(), max(wait, 0)):
                    return
            except TimeoutError:
                pass
            if not await session.send(list(session.events(stream.take()))):
                return
            if session.wants_bookmarks and loop.time() >= next_bookmark:
                if not await session.send([session.bookmark()]):
                    return
                next_bookmark = loop.time() + self._bookmark_seconds


class _Session:
    """One watch: what its client wants to see, and how."""

    def __init__(self, store: Store, request: ApiRequest) -> None:
        query, resource_type = request.http.query, request.resource_type
        self._store = store
        self._http = request.http
        self._resource = resource_type.name
        self._form: Representation = negotiate(request.http, resource_type)
        self._namespace = request.info.namespace
        self._labels, self._fields = query.get("labelSelector"), query.get("fieldSelector")
        self._by_label: Predicate = label_selector(self._labels)
        self._by_field: Predicate = field_selector(resource_type, self._fields)
        self._version_asked = query.get("resourceVersion", "")
        self._initial_events = is_true(query.get("sendInitialEvents"))
        self._events_left = request.fault.cut_watch_after_events if request.fault else None
        self.wants_bookmarks = is_true(query.get("allowWatchBookmarks"))
        self.life_seconds = _life_seconds(query.get("timeoutSeconds"))
        self.failed = False
        self.response = web.StreamResponse(headers={"Content-Type": "application/json"})

    @property
    def client_is_gone(self) -> bool:
        """The client has closed its connection."""
        return self._http.transport is None or self._http.transport.is_closing()

    def beginning(self) -> list[bytes]:
        """The events that are due at once: the state if no resourceVersion is given, else what has changed since.

        A resourceVersion of too long ago gives an ERROR event with a Status 410, as the watch cache does.
        """
        if self._version_asked in ("", "0") or self._initial_events:
            events = [
                _event(history.ADDED, self._form.one(record))
                for record in self._store.records(self._resource, self._namespace, self._labels, self._fields)
            ]
            if self._initial_events and self.wants_bookmarks:
                events.append(self.bookmark(_INITIAL_EVENTS_END))
            return events
        if not self._version_asked.isdecimal():
            raise ApiError.bad_request(f"resourceVersion: Invalid value: {self._version_asked!r}")
        try:
            changes = self._store.changes_since(self._resource, int(self._version_asked))
        except ApiError as error:
            self.failed = True
            return [_event("ERROR", encode(error.status()))]
        return list(self.events(changes))

    def events(self, changes: Sequence[Change]) -> Iterator[bytes]:
        """The changes as this client sees them."""
        for change in changes:
            if self._namespace is not None and change.record.key[0] != self._namespace:
                continue
            before = change.previous is not None and self._selects(change.previous)
            after = change.type != history.DELETED and self._selects(change.record)
            if after:
                kind = history.MODIFIED if before else history.ADDED
                yield _event(kind, self._form.one(change.record))
            elif before and change.previous is not None:
                gone = _at_version(change.previous, change.record.version)
                yield _event(history.DELETED, self._form.one(gone))

    def bookmark(self, annotations: JsonObject | None = None) -> bytes:
        """A BOOKMARK event: the client has seen everything up to now."""
        metadata: JsonObject = {"resourceVersion": str(self._store.version()), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        return _event("BOOKMARK", self._form.bookmark(metadata))

    async def send(self, events: list[bytes]) -> bool:
        """Send events; False when the connection is cut, by the client or by a fault."""
        if self._events_left is not None:
            events = events[: self._events_left]
            self._events_left -= len(events)
        try:
            if events:
                await self.response.write(b"".join(events))
        except ConnectionError:
            return False
        if self._events_left == 0:
            cut_connection(self._http)
            return False
        return True

    def _selects(self, record: Record) -> bool:
        return self._by_label(record.object) and self._by_field(record.object)


def _event(kind: str, encoded: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + encoded + b"}\n"


def _at_version(record: Record, version: int) -> Record:
    value = copy_of(record.object)
    value["metadata"]["resourceVersion"] = str(version)
    return Record(value, version)


def _life_seconds(asked: str | None) -> float:
    if asked and asked.isdecimal() and int(asked) > 0:
        return float(asked)
    # The real server ends every watch between one and two times --min-request-timeout.
    return _SHORTEST_LIFE_SECONDS * random.uniform(1, 2)
