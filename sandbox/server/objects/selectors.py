"""Label and field selectors, as in ``kubectl get -l`` and ``--field-selector``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.resources import ResourceType

Predicate = Callable[[JsonObject], bool]
"""Does an object match?"""

_SET_REQUIREMENT = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUALITY_REQUIREMENT = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^=!\s]*)$")
_EXISTENCE_REQUIREMENT = re.compile(r"^(?P<absent>!?)\s*(?P<key>[^=!\s()]+)$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def everything(_: JsonObject) -> bool:
    """The selector that selects all."""
    return True


def label_selector(text: str | None) -> Predicate:
    """The predicate of a label selector: ``a=b,c!=d,e in (f,g),h,!i``.

    :raises ApiError: 400, the text is no label selector.
    """
    if not text or not text.strip():
        return everything
    requirements = [_label_requirement(part.strip()) for part in _COMMA_OUTSIDE_PARENTHESES.split(text)]

    def matches(value: JsonObject) -> bool:
        labels = value["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


def _label_requirement(text: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET_REQUIREMENT.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["operator"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY_REQUIREMENT.match(text):
        key, wanted = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != wanted
        return lambda labels: labels.get(key) == wanted
    if found := _EXISTENCE_REQUIREMENT.match(text):
        key, absent = found["key"], bool(found["absent"])
        return lambda labels: (key in labels) is not absent
    raise ApiError.bad_request(f"unable to parse requirement: {text!r} is no label selector")


def field_selector(resource_type: ResourceType, text: str | None) -> Predicate:
    """The predicate of a field selector: ``metadata.name=a,status.phase!=Running``.

    :raises ApiError: 400, no selector, or a field that cannot be selected by in this resource.
    """
    if not text or not text.strip():
        return everything
    requirements = [_field_requirement(resource_type, part) for part in text.split(",")]
    return lambda value: all(requirement(value) for requirement in requirements)


def _field_requirement(resource_type: ResourceType, text: str) -> Predicate:
    found = _EQUALITY_REQUIREMENT.match(text.strip())
    if not found:
        raise ApiError.bad_request(f"invalid selector: {text!r}; can't understand {text!r}")
    field, wanted, negated = found["key"], found["value"], found["operator"] == "!="
    if field not in ("metadata.name", "metadata.namespace") and field not in resource_type.selectable_fields:
        raise ApiError.bad_request(f"field label not supported: {field}")
    # The one name that is not the path to its value: github.com/openshift/api, BuildFieldSelector.
    path = ["status", "phase"] if field == "status" else field.split(".")
    return lambda value: (_as_text(_lookup(value, path)) == wanted) is not negated


def _lookup(value: Any, path: list[str]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
