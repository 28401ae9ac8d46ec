"""Tables: what ``kubectl get`` asks for (``Accept: application/json;as=Table``)."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.server.errors import JsonObject
from sandbox.server.kubectl.ages import age
from sandbox.server.kubectl.table_columns import COLUMNS, Column
from sandbox.server.objects.resources import ResourceType


def table(
    resource_type: ResourceType,
    objects: Iterable[JsonObject],
    metadata: JsonObject,
    include_object: str = "Metadata",
) -> JsonObject:
    """A meta.k8s.io/v1 Table with a row for each object.

    :param include_object: what comes with each row: ``Metadata``, ``Object`` or ``None``.
    """
    columns = columns_of(resource_type)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(column) for column in columns],
        "rows": [_row(columns, value, include_object) for value in objects],
    }


def columns_of(resource_type: ResourceType) -> tuple[Column, ...]:
    """NAME, what is particular to the resource, and AGE unless the resource has none."""
    return (_NAME, *COLUMNS.get(resource_type.name, (_AGE,)))


def partial_metadata(value: JsonObject) -> JsonObject:
    """The object as PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": value["metadata"],
    }


def _definition(column: Column) -> JsonObject:
    return {
        "name": column.name,
        "type": column.type,
        "format": "name" if column is _NAME else "",
        "description": "",
        "priority": 1 if column.wide else 0,
    }


def _row(columns: tuple[Column, ...], value: JsonObject, include_object: str) -> JsonObject:
    row: JsonObject = {"cells": [column.cell(value) for column in columns]}
    if include_object == "Object":
        row["object"] = value
    elif include_object != "None":
        row["object"] = partial_metadata(value)
    return row


_NAME = Column("Name", lambda value: value["metadata"]["name"])
_AGE = Column("Age", lambda value: age(value["metadata"].get("creationTimestamp")))
