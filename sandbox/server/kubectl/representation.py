"""In which form objects are sent: whole, as metadata only, or as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.kubectl.tables import partial_metadata, table
from sandbox.server.objects.collection import Record, encode
from sandbox.server.objects.resources import ResourceType

_META = "meta.k8s.io/v1"


class Representation(Protocol):
    """A form of answers about one resource."""

    def one(self, record: Record) -> bytes:
        """An object."""
        ...

    def many(self, records: Sequence[Record], metadata: JsonObject) -> bytes:
        """A list; ``metadata`` is that of the list."""
        ...

    def bookmark(self, metadata: JsonObject) -> bytes:
        """The object of a BOOKMARK event."""
        ...


class WholeObjects:
    """Objects as they are."""

    def __init__(self, resource_type: ResourceType) -> None:
        self._type = resource_type
        type_meta = {"kind": resource_type.kind, "apiVersion": resource_type.api_version}
        self._opening = encode(type_meta)[:-1] + b","

    def one(self, record: Record) -> bytes:
        """The object, kind first."""
        return self._opening + record.encode()[1:]

    def many(self, records: Sequence[Record], metadata: JsonObject) -> bytes:
        """A list. Items of built-in kinds carry no kind, those of custom resources do, as in real lists."""
        head = {"kind": self._type.list_kind, "apiVersion": self._type.api_version, "metadata": metadata}
        items = (self.one(record) if self._type.custom else record.encode() for record in records)
        return encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"

    def bookmark(self, metadata: JsonObject) -> bytes:
        """An object with nothing but the metadata."""
        return self._opening + encode({"metadata": metadata})[1:]


class MetadataOnly:
    """Objects as PartialObjectMetadata."""

    def one(self, record: Record) -> bytes:
        """The object's metadata."""
        return encode(partial_metadata(record.object))

    def many(self, records: Sequence[Record], metadata: JsonObject) -> bytes:
        """A PartialObjectMetadataList."""
        items = [partial_metadata(record.object) for record in records]
        return encode({"kind": "PartialObjectMetadataList", "apiVersion": _META, "metadata": metadata, "items": items})

    def bookmark(self, metadata: JsonObject) -> bytes:
        """Nothing but the metadata."""
        return encode(partial_metadata({"metadata": metadata}))


class Tables:
    """Objects as rows.

    :param include_object: what comes with each row: ``Metadata``, ``Object`` or ``None``.
    """

    def __init__(self, resource_type: ResourceType, include_object: str) -> None:
        self._type = resource_type
        self._include_object = include_object

    def one(self, record: Record) -> bytes:
        """A table with one row."""
        metadata = {"resourceVersion": record.object["metadata"].get("resourceVersion", "")}
        return self.many([record], metadata)

    def many(self, records: Sequence[Record], metadata: JsonObject) -> bytes:
        """A table."""
        objects = (record.object for record in records)
        return encode(table(self._type, objects, metadata, self._include_object))

    def bookmark(self, metadata: JsonObject) -> bytes:
        """A table without rows."""
        return self.many([], metadata)


def negotiate(request: web.Request, resource_type: ResourceType) -> Representation:
    """The form that the client asks for with ``Accept``: the first one that can be had.

    :raises ApiError: 406, none of them can.
    """
    for accepted in request.headers.get("Accept", "*/*").split(","):
        media_type, *parameters = (part.strip() for part in accepted.split(";"))
        if media_type not in ("application/json", "application/*", "*/*"):
            continue
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        form = values.get("as", "")
        if not form:
            return WholeObjects(resource_type)
        if (values.get("g"), values.get("v")) != ("meta.k8s.io", "v1"):
            continue
        if form == "Table":
            return Tables(resource_type, request.query.get("includeObject", "Metadata"))
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return MetadataOnly()
    message = "only the following media types are accepted: application/json"
    raise ApiError(406, "NotAcceptable", message, {})
