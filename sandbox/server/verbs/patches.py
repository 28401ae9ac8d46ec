"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

from jsonpatch import JsonPatch, JsonPatchException, JsonPointerException

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
    patched = copy_of(target)
    for operation in operations:
        if operation.get("op") not in JsonPatch.operations:
            raise ApiError.bad_request(f"error decoding patch: {operation.get('op')!r} is no operation of JSON patch")
        try:
            patched = JsonPatch([operation]).apply(patched, in_place=True)
        except (JsonPatchException, JsonPointerException, TypeError, ValueError) as problem:
            # The real server says no more than this either; the cause is what a reader needs.
            message = f"the server rejected our request due to an error in our request: {operation}: {problem}"
            raise ApiError(422, "Invalid", message, {}) from problem
    return patched
