"""JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396), and the API's own strategic merge patch.

The last is like a merge patch, but lists of built-in kinds merge by their items' key.
"""

from __future__ import annotations

from typing import Any

from jsonpatch import JsonPatch, JsonPatchException, JsonPointerException

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import copy_of

_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaims": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""The ``patchMergeKey`` tags of k8s.io/api, by field. ``ports`` is of containers or of Services. What is not
here is replaced as a whole, as the real server does (``subjects``, ``rules``, ``args``, ``tolerations``)."""
_MERGED_PRIMITIVES = frozenset({"finalizers"})
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


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


def strategic_merge(target: JsonObject, patch: JsonObject) -> JsonObject:
    """What a strategic merge patch makes of ``target``. Changes neither.

    Understands ``$patch`` (``delete``, ``replace``, ``merge``), ``$retainKeys``, ``$setElementOrder`` and
    ``$deleteFromPrimitiveList``.

    :raises ApiError: 400, an item of a merged list lacks its merge key, or a directive is unknown.
    """
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise ApiError.bad_request(f"unknown patch type found in strategic merge patch: {directive!r}")
    merged = dict(target)
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif not key.startswith("$"):
            _merge_field(merged, key, value)
    for key, order in patch.items():
        if key.startswith(_ORDER):
            _reorder(merged, key.removeprefix(_ORDER), order)
    return merged


def _merge_field(merged: JsonObject, key: str, value: Any) -> None:
    present = merged.get(key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        if value.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(present if isinstance(present, dict) else {}, value)
    elif isinstance(value, list):
        merged[key] = _merge_list(key, present if isinstance(present, list) else [], value)
    else:
        merged[key] = value


def _merge_list(field: str, present: list[Any], patch: list[Any]) -> list[Any]:
    if field in _MERGED_PRIMITIVES:
        return present + [item for item in patch if item not in present]
    merge_key = _merge_key(field, patch)
    if merge_key is None:
        return patch
    if any(item == {"$patch": "replace"} for item in patch):
        return [item for item in patch if item != {"$patch": "replace"}]
    merged = list(present)
    for item in patch:
        if merge_key not in item:
            raise ApiError.bad_request(f"map: {item} does not contain declared merge key: {merge_key}")
        index = next((i for i, old in enumerate(merged) if old.get(merge_key) == item[merge_key]), None)
        if item.get("$patch") == "delete":
            if index is not None:
                del merged[index]
        elif index is None:
            merged.append(strategic_merge({}, item))
        else:
            merged[index] = strategic_merge(merged[index], item)
    return merged


def _merge_key(field: str, items: list[Any]) -> str | None:
    keys = _MERGE_KEYS.get(field)
    if keys is None or not all(isinstance(item, dict) for item in items):
        return None
    return next((key for key in keys if any(key in item for item in items)), keys[0])


def _reorder(merged: JsonObject, field: str, order: list[Any]) -> None:
    items = merged.get(field)
    if not isinstance(items, list) or not items:
        return
    merge_key = _merge_key(field, items)
    wanted = [item.get(merge_key) if isinstance(item, dict) else item for item in order]

    def position(item: Any) -> int:
        identity = item.get(merge_key) if isinstance(item, dict) else item
        return wanted.index(identity) if identity in wanted else len(wanted)

    merged[field] = sorted(items, key=position)
