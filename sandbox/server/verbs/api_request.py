"""A request on its way through the server, and the formats it comes in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from sandbox.server.access.authentication import User
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.faults import FaultRule
from sandbox.server.kubectl import protobuf
from sandbox.server.objects.resources import ResourceType
from sandbox.server.request_info import RequestInfo

JSON = "application/json"
YAML = "application/yaml"


@dataclass(frozen=True)
class ApiRequest:
    """An authenticated request.

    :param fault: the fault that it meets, if any; already played as far as it is not about watches.
    """

    http: web.Request
    user: User
    info: RequestInfo
    fault: FaultRule | None = None

    @property
    def resource_type(self) -> ResourceType:
        """What the request is about.

        :raises ApiError: 404, the path is no resource.
        """
        if self.info.resource_type is None:
            raise ApiError.no_such_path()
        return self.info.resource_type

    @property
    def name(self) -> str:
        """The object's name from the path.

        :raises ApiError: 405, the path is that of a collection.
        """
        if self.info.name is None:
            raise ApiError.method_not_allowed()
        return self.info.name

    @property
    def dry_run(self) -> bool:
        """``dryRun=All``: work everything out and write nothing.

        :raises ApiError: 400, another value.
        """
        return _dry_run(self.http.query.getall("dryRun", []))

    async def body(self) -> Any:
        """The body as JSON data, from JSON, YAML or protobuf.

        :raises ApiError: 400 it cannot be read, 415 it is in another format.
        """
        return decode(await self.http.read(), self.http.content_type)

    async def object(self) -> JsonObject:
        """The body, which has to be an object.

        :raises ApiError: 400, 415.
        """
        value = await self.body()
        if isinstance(value, dict) and value.get("metadata") is None:
            value["metadata"] = {}
        if not isinstance(value, dict) or not isinstance(value["metadata"], dict):
            raise ApiError.bad_request("the body of the request has to be an object of the API")
        return value


def decode(data: bytes, content_type: str) -> Any:
    """JSON data from a body.

    :raises ApiError: 400 it cannot be read, 415 it is in another format.
    """
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode_object(data)
    # A client that names no type means JSON; aiohttp reads that as octet-stream.
    if not content_type.endswith(("json", "yaml", "/octet-stream")):
        raise ApiError.unsupported_media_type([JSON, YAML, protobuf.CONTENT_TYPE])
    try:
        return yaml.safe_load(data) if "yaml" in content_type else json.loads(data)
    except (ValueError, yaml.YAMLError) as problem:
        raise ApiError.bad_request(f"the body of the request could not be decoded: {problem}") from problem


def _dry_run(values: list[str]) -> bool:
    if any(value not in ("", "All") for value in values):
        raise ApiError.bad_request(f"dryRun: Unsupported value: {values}: supported values: All")
    return "All" in values


def _grace_seconds(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return max(int(value), 0)
    except (TypeError, ValueError) as problem:
        raise ApiError.bad_request(f"gracePeriodSeconds: Invalid value: {value!r}") from problem


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete, from body and query."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False

    @classmethod
    async def of(cls, request: ApiRequest) -> DeleteOptions:
        """The options of a DELETE request; the body goes before the query.

        :raises ApiError: 400.
        """
        data = await request.http.read()
        body = decode(data, request.http.content_type) if data.strip() else {}
        if not isinstance(body, dict):
            raise ApiError.bad_request("the body of a DELETE has to be DeleteOptions")
        query = request.http.query
        given = {key: query[key] for key in ("gracePeriodSeconds", "propagationPolicy") if key in query}
        return cls.from_body({**given, **body}, dry_run=request.dry_run)

    @classmethod
    def from_body(cls, body: JsonObject, *, dry_run: bool = False) -> DeleteOptions:
        """The options in a v1 DeleteOptions.

        :raises ApiError: 400.
        """
        grace, propagation = body.get("gracePeriodSeconds"), body.get("propagationPolicy")
        if propagation not in (None, "Background", "Foreground", "Orphan"):
            raise ApiError.bad_request(f"propagationPolicy {propagation!r} is not supported")
        preconditions = body.get("preconditions") or {}
        return cls(
            _grace_seconds(grace),
            "Orphan" if body.get("orphanDependents") else propagation,
            preconditions.get("uid"),
            preconditions.get("resourceVersion"),
            dry_run or _dry_run(body.get("dryRun") or []),
        )

    def check(self, resource_type: ResourceType, metadata: JsonObject) -> None:
        """Refuse if the object is not the one that was meant.

        :raises ApiError: 409.
        """
        for told, wanted, found in (
            ("UID", self.uid, metadata["uid"]),
            ("ResourceVersion", self.resource_version, metadata["resourceVersion"]),
        ):
            if wanted is not None and wanted != found:
                cause = f"Precondition failed: {told} in precondition: {wanted}, {told} in object meta: {found}"
                raise ApiError.conflict(resource_type.name, metadata["name"], cause)
