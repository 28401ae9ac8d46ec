"""What the server tells about itself: groups, versions, resources, its own version."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.server.errors import JsonObject
from sandbox.server.objects.resources import RESOURCE_TYPES, ResourceType

VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-07-01T00:00:00Z",
    "goVersion": "go1.26.4",
    "compiler": "gc",
    "platform": "linux/amd64",
}
AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SUBRESOURCE_KINDS: dict[str, tuple[str, str, str]] = {
    "scale": ("autoscaling", "v1", "Scale"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "eviction": ("policy", "v1", "Eviction"),
    "exec": ("", "v1", "PodExecOptions"),
}
_SUBRESOURCE_VERBS: dict[str, list[str]] = {
    "log": ["get"],
    "exec": ["create", "get"],
    "token": ["create"],
    "eviction": ["create"],
}


def document(path: str, *, aggregated: bool) -> JsonObject | None:
    """The discovery document of a path (``/api``, ``/apis/apps/v1`` …); None if that is none.

    :param aggregated: of ``/api`` and ``/apis`` the form with all resources in it (discovery v2).
    """
    segments = [segment for segment in path.split("/") if segment]
    if segments in (["api"], ["apis"]):
        core = segments == ["api"]
        if aggregated:
            return _aggregated(core=core)
        return _core_versions() if core else _group_list()
    if segments == ["api", "v1"]:
        return _resource_list("", "v1")
    if segments[:1] == ["apis"] and len(segments) == 2 and segments[1] in _groups():
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(segments[1])}
    if segments[:1] == ["apis"] and len(segments) == 3 and segments[2] in _versions(segments[1]):
        return _resource_list(segments[1], segments[2])
    return None


def _groups() -> list[str]:
    return list(dict.fromkeys(kind.group for kind in RESOURCE_TYPES.values() if kind.group))


def _versions(group: str) -> list[str]:
    return list(dict.fromkeys(kind.version for kind in RESOURCE_TYPES.values() if kind.group == group))


def group_versions() -> list[str]:
    """``v1``, ``apps/v1`` …: every API version that is served."""
    return list(dict.fromkeys(kind.api_version for kind in RESOURCE_TYPES.values()))


def _core_versions() -> JsonObject:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _group_list() -> JsonObject:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in _groups()]}


def _group(group: str) -> JsonObject:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _types(group: str, version: str) -> Iterator[ResourceType]:
    return (kind for kind in RESOURCE_TYPES.values() if (kind.group, kind.version) == (group, version))


def _resource_list(group: str, version: str) -> JsonObject:
    listed = []
    for kind in _types(group, version):
        entry: JsonObject = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        listed.append(entry)
        for subresource in kind.subresources:
            listed.append(_legacy_subresource(kind, subresource))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _subresource_kind(kind: ResourceType, subresource: str) -> tuple[str, str, str]:
    return _SUBRESOURCE_KINDS.get(subresource, (kind.group, kind.version, kind.kind))


def _subresource_verbs(subresource: str) -> list[str]:
    return _SUBRESOURCE_VERBS.get(subresource, ["get", "patch", "update"])


def _legacy_subresource(kind: ResourceType, subresource: str) -> JsonObject:
    group, version, kind_name = _subresource_kind(kind, subresource)
    entry: JsonObject = {
        "name": f"{kind.plural}/{subresource}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind_name,
        "verbs": _subresource_verbs(subresource),
    }
    if (group, version) != (kind.group, kind.version):
        entry |= {"group": group, "version": version}
    return entry


def _aggregated(*, core: bool) -> JsonObject:
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated_resource(kind) for kind in _types(group, version)],
                    "freshness": "Current",
                }
                for version in _versions(group)
            ],
        }
        for group in ([""] if core else _groups())
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(kind: ResourceType) -> JsonObject:
    entry: JsonObject = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = []
    for subresource in kind.subresources:
        group, version, kind_name = _subresource_kind(kind, subresource)
        entry["subresources"].append(
            {
                "subresource": subresource,
                "responseKind": {"group": group, "version": version, "kind": kind_name},
                "verbs": _subresource_verbs(subresource),
            }
        )
    return entry
