"""The sandbox's own paths: faults to order, and what was requested. For cluster-admins.

* ``/sandbox/faults``: GET lists the rules in force, POST adds one (the fields of
  :class:`~sandbox.server.faults.FaultRule`), DELETE takes all away, or one of them with ``?id=``.
* ``/sandbox/requests``: GET lists the counts, DELETE starts from zero.
"""

from __future__ import annotations

from aiohttp import web

from sandbox.server.errors import ApiError
from sandbox.server.faults import ApiFaults, FaultRule
from sandbox.server.request_counts import RequestCounts
from sandbox.server.responses import json_response
from sandbox.server.verbs.api_request import ApiRequest

ROOT = "/sandbox/"


class Administration:
    """Answers what is below ``/sandbox/``."""

    def __init__(self, faults: ApiFaults, counts: RequestCounts) -> None:
        self._faults = faults
        self._counts = counts

    async def answer(self, request: ApiRequest) -> web.Response:
        """Read or change faults or counts.

        :raises ApiError: 400, 404, 405.
        """
        if request.info.path == f"{ROOT}faults":
            return await self._answer_faults(request)
        if request.info.path == f"{ROOT}requests":
            return self._answer_requests(request)
        raise ApiError.no_such_path()

    async def _answer_faults(self, request: ApiRequest) -> web.Response:
        method = request.http.method
        if method == "GET":
            return json_response({"faults": self._faults.listed()})
        if method == "POST":
            value = await request.body()
            if not isinstance(value, dict):
                raise ApiError.bad_request("a fault is an object with the fields of FaultRule")
            try:
                rule = FaultRule.from_json(value)
            except ValueError as problem:
                raise ApiError.bad_request(f"this is no fault: {problem}") from problem
            return json_response({"id": self._faults.add(rule)}, 201)
        if method == "DELETE":
            chosen = request.http.query.get("id")
            if chosen is None:
                self._faults.clear()
            elif not chosen.isdecimal() or not self._faults.remove(int(chosen)):
                raise ApiError(404, "NotFound", f"there is no fault with the id {chosen!r}", {})
            return json_response({"faults": self._faults.listed()})
        raise ApiError.method_not_allowed()

    def _answer_requests(self, request: ApiRequest) -> web.Response:
        if request.http.method == "DELETE":
            self._counts.clear()
        elif request.http.method != "GET":
            raise ApiError.method_not_allowed()
        return json_response({"requests": self._counts.listed()})
