"""What the server itself writes into objects: identity, versions, generation, deletion."""

from __future__ import annotations

import random
import re
import uuid
from datetime import UTC, datetime, timedelta

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import copy_of
from sandbox.server.objects.resources import ResourceType

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_NAME = 253
_LONGEST_GENERATED_BASE = 58
_PATH_SEGMENT = re.compile(r"^[^/%]+$")
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "name",
)
_POD_GRACE_SECONDS = 30


def timestamp(moment: datetime | None = None) -> str:
    """A moment (default: now) as the API writes times: RFC 3339, UTC, whole seconds."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_object(resource_type: ResourceType, wanted: JsonObject) -> JsonObject:
    """A copy of ``wanted`` with the metadata of an object that comes to be.

    A ``creationTimestamp`` that is given is kept: the caller decides whether it may be.

    :raises ApiError: 400 or 422, the object is of another kind or has no usable name.
    """
    created = copy_of(wanted)
    _check_kind(resource_type, created)
    metadata = created.setdefault("metadata", {})
    if not metadata.get("name"):
        metadata["name"] = _generated_name(resource_type, metadata)
    _check_name(resource_type, metadata["name"])
    if not resource_type.namespaced:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        metadata["namespace"] = "default"
    for server_owned in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(server_owned, None)
    metadata["uid"] = str(uuid.uuid4())
    if not metadata.get("creationTimestamp"):
        metadata["creationTimestamp"] = timestamp()
    if resource_type.tracks_generation:
        metadata["generation"] = 1
    return created


def _check_kind(resource_type: ResourceType, value: JsonObject) -> None:
    api_version, kind = value.setdefault("apiVersion", resource_type.api_version), value.get("kind")
    if api_version != resource_type.api_version:
        raise ApiError.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource_type.api_version})"
        )
    if kind not in (None, "", resource_type.kind):
        raise ApiError.bad_request(
            f'{kind} in version "{resource_type.version}" cannot be handled as a {resource_type.kind}: '
            f"no kind {kind!r} is registered for {resource_type.name}"
        )
    value["kind"] = resource_type.kind


def _generated_name(resource_type: ResourceType, metadata: JsonObject) -> str:
    base = str(metadata.get("generateName") or "")
    if not base:
        cause = ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        raise ApiError.invalid(resource_type.kind, resource_type.group, "", [cause])
    return base[:_LONGEST_GENERATED_BASE] + "".join(random.choices(_NAME_ALPHABET, k=5))


def _check_name(resource_type: ResourceType, name: str) -> None:
    if not _PATH_SEGMENT.match(name) or name in (".", "..") or len(name) > _LONGEST_NAME:
        cause = ("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": is no name for an object')
        raise ApiError.invalid(resource_type.kind, resource_type.group, name, [cause])


def updated_object(
    resource_type: ResourceType, old: JsonObject, wanted: JsonObject, subresource: str | None
) -> JsonObject | None:
    """What an update makes of ``old``; None if nothing would change.

    :param wanted: the whole object; of an update of ``status`` only that part counts.
    :raises ApiError: 400, 409 when ``wanted`` carries another kind, a stale resourceVersion or another uid.
    """
    _check_preconditions(resource_type, old, wanted.get("metadata") or {})
    if subresource == "status":
        updated = copy_of(old)
        updated.pop("status", None)
        if "status" in wanted:
            updated["status"] = copy_of({"status": wanted["status"]})["status"]
    else:
        updated = _with_new_spec(resource_type, old, wanted)
    updated["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    return None if updated == old else updated


def _check_preconditions(resource_type: ResourceType, old: JsonObject, metadata: JsonObject) -> None:
    present, name = old["metadata"], old["metadata"]["name"]
    version, uid = metadata.get("resourceVersion"), metadata.get("uid")
    if uid and uid != present["uid"]:
        cause = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present['uid']}"
        raise ApiError.conflict(resource_type.name, name, cause)
    if version and version != present["resourceVersion"]:
        raise ApiError.conflict(resource_type.name, name)


def _with_new_spec(resource_type: ResourceType, old: JsonObject, wanted: JsonObject) -> JsonObject:
    updated = copy_of(wanted)
    _check_kind(resource_type, updated)
    metadata, present = updated.setdefault("metadata", {}), old["metadata"]
    for server_owned in _SERVER_OWNED:
        if server_owned in present:
            metadata[server_owned] = present[server_owned]
        else:
            metadata.pop(server_owned, None)
    if "status" in resource_type.subresources:
        updated.pop("status", None)
        if "status" in old:
            updated["status"] = copy_of(old)["status"]
    if resource_type.tracks_generation and _wanted_state_differs(resource_type, old, updated):
        metadata["generation"] = present.get("generation", 0) + 1
    return updated


def _wanted_state_differs(resource_type: ResourceType, old: JsonObject, new: JsonObject) -> bool:
    # A Deployment's annotations count as well: pkg/registry/apps/deployment/strategy.go, PrepareForUpdate.
    if resource_type.name == "deployments.apps" and old["metadata"].get("annotations") != new["metadata"].get(
        "annotations"
    ):
        return True
    keys = (old.keys() | new.keys()) - {"metadata", "status", "apiVersion", "kind"}
    return any(old.get(key) != new.get(key) for key in keys)


def pod_grace_seconds(pod: JsonObject, asked: int | None) -> int:
    """How many seconds a pod has left when it is deleted: none if it runs nowhere (any more)."""
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    spec = pod.get("spec") or {}
    if finished or not spec.get("nodeName"):
        return 0
    if asked is not None:
        return max(asked, 0)
    grace = spec.get("terminationGracePeriodSeconds")
    return _POD_GRACE_SECONDS if grace is None else int(grace)


def terminating(value: JsonObject, grace_seconds: int) -> JsonObject:
    """A copy of the object that says until when it has to be gone."""
    marked = copy_of(value)
    metadata = marked["metadata"]
    metadata["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace_seconds))
    metadata["deletionGracePeriodSeconds"] = grace_seconds
    if "generation" in metadata and "deletionTimestamp" not in value["metadata"]:
        metadata["generation"] += 1
    return marked
