"""PATCH, in the four forms that the API knows."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.collection import copy_of
from sandbox.server.objects.resources import ResourceType
from sandbox.server.objects.store import Store
from sandbox.server.verbs.api_request import ApiRequest, decode
from sandbox.server.verbs.patches import json_patch, merge_patch, strategic_merge
from sandbox.server.verbs.writing import Writer

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Patcher:
    """Answers ``patch``.

    A ``metadata.resourceVersion`` in a patch is a precondition: 409 if the object has another one.
    """

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    async def patch(self, request: ApiRequest) -> web.Response:
        """Patch the object or its status; server-side apply creates what is not there.

        :raises ApiError: 400, 403, 404, 409, 415, 422.
        """
        content_type, resource_type = request.http.content_type, request.resource_type
        if content_type not in patch_types(resource_type):
            raise ApiError.unsupported_media_type(patch_types(resource_type))
        patch = decode(await request.http.read(), content_type)
        record = self._store.find(resource_type.name, request.name, request.info.namespace)
        if content_type == APPLY_PATCH:
            _check_apply(request, patch)
            if record is None:
                patch["metadata"].setdefault("name", request.name)
                return self._writer.create_object(request, patch)
        if record is None:
            raise ApiError.not_found(resource_type.name, request.name)
        patched = apply_patch(copy_of(record.object), patch, content_type, resource_type)
        return self._writer.update_object(request, patched)


def patch_types(resource_type: ResourceType) -> list[str]:
    """The media types of patches that the resource takes: custom resources know no strategic merge."""
    types = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
    return types if resource_type.custom else [*types, STRATEGIC_MERGE_PATCH]


def apply_patch(target: JsonObject, patch: Any, content_type: str, resource_type: ResourceType) -> JsonObject:
    """What the patch makes of the object; shares parts with both.

    Server-side apply merges as the other patches do. It keeps no ``managedFields``: nothing is removed because
    a manager no longer names it, and managers do not conflict.

    :raises ApiError: 400, 422.
    """
    if content_type == JSON_PATCH:
        patched: Any = json_patch(target, patch)
    elif not isinstance(patch, dict):
        raise ApiError.bad_request("error decoding patch: it has to be an object")
    elif content_type == STRATEGIC_MERGE_PATCH or (content_type == APPLY_PATCH and not resource_type.custom):
        patched = strategic_merge(target, patch)
    else:
        patched = merge_patch(target, patch)
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
        raise ApiError.bad_request("the patch leaves no object with metadata")
    return patched


def _check_apply(request: ApiRequest, patch: Any) -> None:
    if not request.http.query.get("fieldManager"):
        cause = ("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
        raise ApiError.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    if not isinstance(patch, dict) or not patch.get("apiVersion") or not patch.get("kind"):
        raise ApiError.bad_request("error decoding apply patch: apiVersion and kind have to be set")
    if not isinstance(patch.setdefault("metadata", {}), dict):
        raise ApiError.bad_request("error decoding apply patch: metadata has to be an object")
