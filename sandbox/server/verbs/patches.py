"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import copy_of


def merge_patch(target: Any, patch: Any) -> Any:
    """What a merge patch makes of ``target``; null deletes a field. Changes neither."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: JsonObject, operations: Any) -> JsonObject:
    """What a JSON patch makes of ``target``, which is not changed.

    :raises ApiError: 400 the patch is none; 422 it cannot be applied (a ``test`` fails, a path is missing).
    """
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise ApiError.bad_request("error decoding patch: a JSON patch is a list of operations")
    patched = {"": copy_of(target)}
    for operation in operations:
        name = operation.get("op")
        perform = _OPERATIONS.get(name)
        if perform is None:
            raise ApiError.bad_request(f"error decoding patch: {name!r} is no operation of JSON patch")
        try:
            perform(patched, operation)
        except (KeyError, IndexError, ValueError, TypeError) as problem:
            # The real server says no more than this either; the cause is what a reader needs.
            message = f"the server rejected our request due to an error in our request: {operation}: {problem}"
            raise ApiError(422, "Invalid", message, {}) from problem
    return patched[""]


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it has to begin with a slash")
    # The document hangs at the empty key, so that its root can be replaced like anything else.
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _walk(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _value_at(document: Any, pointer: str) -> Any:
    return _walk(document, _steps(pointer))


def _insert(document: Any, pointer: str, value: Any) -> None:
    *parents, last = _steps(pointer)
    parent = _walk(document, parents)
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if not 0 <= index <= len(parent):
            raise IndexError(f"index {last} is outside of the list")
        parent.insert(index, value)
    else:
        parent[last] = value


def _add(document: Any, operation: JsonObject) -> None:
    _insert(document, operation["path"], operation["value"])


def _remove(document: Any, operation: JsonObject) -> Any:
    *parents, last = _steps(operation["path"])
    parent = _walk(document, parents)
    return parent.pop(int(last) if isinstance(parent, list) else last)


def _replace(document: Any, operation: JsonObject) -> None:
    *parents, last = _steps(operation["path"])
    parent = _walk(document, parents)
    if isinstance(parent, list):
        parent[int(last)] = operation["value"]
    else:
        if last not in parent:
            raise KeyError(f"there is no {operation['path']}")
        parent[last] = operation["value"]


def _move(document: Any, operation: JsonObject) -> None:
    _insert(document, operation["path"], _remove(document, {"path": operation["from"]}))


def _copy(document: Any, operation: JsonObject) -> None:
    value = _value_at(document, operation["from"])
    _insert(document, operation["path"], copy_of({"value": value})["value"])


def _test(document: Any, operation: JsonObject) -> None:
    found = _value_at(document, operation["path"])
    if found != operation["value"]:
        raise ValueError(f"testing value {operation['path']} failed: it is {found!r}")


_OPERATIONS: dict[Any, Callable[[Any, JsonObject], object]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
