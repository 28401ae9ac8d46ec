"""Lists in pages: what ``limit`` and ``continue`` mean."""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import Record
from sandbox.server.objects.store import Store

SNAPSHOTS = 32


@dataclass(frozen=True)
class Query:
    """What is listed."""

    resource: str
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None


@dataclass(frozen=True)
class _Snapshot:
    query: Query
    version: int
    records: Sequence[Record]


class Pager:
    """Lists objects. The pages of one list all show the state at its first page, as the real server does.

    :param snapshots: how many unfinished lists are remembered; the next page of an older one gets 410.
    """

    def __init__(self, store: Store, snapshots: int = SNAPSHOTS) -> None:
        self._store = store
        self._limit = snapshots
        self._snapshots: OrderedDict[int, _Snapshot] = OrderedDict()
        self._next_id = 1

    def page(self, query: Query, limit: int, continue_token: str | None) -> tuple[Sequence[Record], JsonObject]:
        """The records of a page and the ``metadata`` of the list.

        :param limit: longest page; 0 for all in one.
        :raises ApiError: 400 the token is none, or of another list; 410 it is too old.
        """
        if continue_token:
            snapshot_id, start = _decode(continue_token)
            snapshot = self._snapshots.get(snapshot_id)
            if snapshot is None:
                raise ApiError.expired(
                    "The provided continue parameter is too old to display a consistent list result. "
                    "You must start a new list without the continue parameter."
                )
            if snapshot.query != query:
                raise ApiError.bad_request("continue key is not valid: it belongs to another list")
        else:
            records = tuple(self._store.records(query.resource, query.namespace, query.labels, query.fields))
            snapshot_id, start = 0, 0
            snapshot = _Snapshot(query, self._store.version(), records)
        end = start + limit if limit > 0 else len(snapshot.records)
        metadata: JsonObject = {"resourceVersion": str(snapshot.version)}
        if end < len(snapshot.records):
            metadata["continue"] = _encode(snapshot_id or self._remember(snapshot), end)
            if not query.labels and not query.fields:
                metadata["remainingItemCount"] = len(snapshot.records) - end
        return snapshot.records[start:end], metadata

    def expire(self) -> None:
        """Forget all unfinished lists: their next page gets 410."""
        self._snapshots.clear()

    def _remember(self, snapshot: _Snapshot) -> int:
        snapshot_id, self._next_id = self._next_id, self._next_id + 1
        self._snapshots[snapshot_id] = snapshot
        while len(self._snapshots) > self._limit:
            self._snapshots.popitem(last=False)
        return snapshot_id


def _encode(snapshot_id: int, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([snapshot_id, start]).encode()).decode().rstrip("=")


def _decode(token: str) -> tuple[int, int]:
    try:
        snapshot_id, start = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(snapshot_id), int(start)
    except (binascii.Error, ValueError, TypeError) as problem:
        raise ApiError.bad_request(f"continue key is not valid: {problem}") from problem
