"""GET: one object, or a list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from sandbox.server.errors import ApiError
from sandbox.server.kubectl.representation import negotiate
from sandbox.server.objects.collection import Record
from sandbox.server.objects.store import Store
from sandbox.server.responses import raw_json
from sandbox.server.verbs.api_request import ApiRequest
from sandbox.server.verbs.paging import Pager, Query

_TURN = 500
"""How many objects are encoded before other requests have their turn."""


class Reader:
    """Answers ``get`` and ``list``."""

    def __init__(self, store: Store, pager: Pager) -> None:
        self._store = store
        self._pager = pager

    async def get(self, request: ApiRequest) -> web.Response:
        """One object, or its ``status`` (which is the whole object too)."""
        form = negotiate(request.http, request.resource_type)
        record = self._store.record(request.resource_type.name, request.name, request.info.namespace)
        return raw_json(form.one(record))

    async def list(self, request: ApiRequest) -> web.Response:
        """A list, or one page of it.

        :raises ApiError: 400, 410.
        """
        form, query = negotiate(request.http, request.resource_type), request.http.query
        wanted = Query(
            request.resource_type.name,
            request.info.namespace,
            query.get("labelSelector"),
            query.get("fieldSelector"),
        )
        limit = query.get("limit") or "0"
        if not limit.isdecimal():
            raise ApiError.bad_request(f"limit: Invalid value: {limit!r}: has to be a number that is not negative")
        records, metadata = self._pager.page(wanted, int(limit), query.get("continue"))
        await _encode_in_turns(records)
        return raw_json(form.many(records, metadata))


async def _encode_in_turns(records: Sequence[Record]) -> None:
    """Encode what has not been, without keeping everybody else waiting while a very long list is made."""
    for start in range(0, len(records), _TURN):
        for record in records[start : start + _TURN]:
            record.encode()
        await asyncio.sleep(0)
