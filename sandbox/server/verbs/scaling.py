"""The ``scale`` subresource of Deployments and ReplicaSets."""

from __future__ import annotations

from aiohttp import web

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.store import Store
from sandbox.server.responses import json_response
from sandbox.server.verbs.api_request import ApiRequest, decode
from sandbox.server.verbs.patches import json_patch, merge_patch
from sandbox.server.verbs.patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH


class Scaler:
    """Answers ``get``, ``update`` and ``patch`` of ``scale``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request: ApiRequest) -> web.Response:
        """How many replicas are wanted, and there."""
        return json_response(_scale(self._object(request)))

    async def update(self, request: ApiRequest) -> web.Response:
        """Set how many are wanted."""
        return self._write(request, await request.object())

    async def patch(self, request: ApiRequest) -> web.Response:
        """Change how many are wanted."""
        content_type = request.http.content_type
        patch = decode(await request.http.read(), content_type)
        scale = _scale(self._object(request))
        if content_type == JSON_PATCH:
            return self._write(request, json_patch(scale, patch))
        if content_type in (MERGE_PATCH, STRATEGIC_MERGE_PATCH):
            return self._write(request, merge_patch(scale, patch))
        raise ApiError.unsupported_media_type([JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH])

    def _object(self, request: ApiRequest) -> JsonObject:
        return self._store.get(request.resource_type.name, request.name, request.info.namespace)

    def _write(self, request: ApiRequest, scale: JsonObject) -> web.Response:
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            told = f"Invalid value: {replicas}: must be greater than or equal to 0"
            cause = ("spec.replicas", "FieldValueInvalid", told)
            raise ApiError.invalid("Scale", "autoscaling", request.name, [cause])
        scaled = self._object(request)
        scaled["spec"]["replicas"] = replicas
        version = scale["metadata"].get("resourceVersion")
        if version:
            scaled["metadata"]["resourceVersion"] = version
        return json_response(_scale(self._store.update(request.resource_type.name, scaled, dry_run=request.dry_run)))


def _scale(value: JsonObject) -> JsonObject:
    metadata, spec = value["metadata"], value.get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {
            "replicas": (value.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={label}" for key, label in sorted(labels.items())),
        },
    }
