"""OpenAPI v3, as little of it as kubectl asks for.

kubectl looks whether a PATCH of the kind takes ``fieldValidation``: if so, it leaves the validation to the
server and needs no schema (k8s.io/cli-runtime, ``QueryParamVerifierV3``).
"""

from __future__ import annotations

from sandbox.server.errors import JsonObject
from sandbox.server.kubectl import discovery
from sandbox.server.objects.resources import RESOURCE_TYPES, ResourceType

ROOT = "/openapi/v3"


def document(path: str) -> JsonObject | None:
    """The OpenAPI document of a path; None if there is none."""
    if path == ROOT:
        return {
            "paths": {
                _place(version): {"serverRelativeURL": f"{ROOT}/{_place(version)}"}
                for version in discovery.group_versions()
            }
        }
    for version in discovery.group_versions():
        if path == f"{ROOT}/{_place(version)}":
            return _group_version(version)
    return None


def _place(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _group_version(api_version: str) -> JsonObject:
    kinds = [kind for kind in RESOURCE_TYPES.values() if kind.api_version == api_version]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": str(discovery.VERSION["gitVersion"])},
        "paths": {
            f"{kind.collection_path('{namespace}' if kind.namespaced else None)}/{{name}}": {"patch": _operation(kind)}
            for kind in kinds
            if kind.stored
        },
        "components": {"schemas": {kind.kind: _schema(kind) for kind in kinds}},
    }


def _group_version_kind(kind: ResourceType) -> JsonObject:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _operation(kind: ResourceType) -> JsonObject:
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    return {
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names
        ],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _group_version_kind(kind),
    }


def _schema(kind: ResourceType) -> JsonObject:
    return {
        "type": "object",
        "x-kubernetes-group-version-kind": [_group_version_kind(kind)],
        "x-kubernetes-preserve-unknown-fields": True,
    }
