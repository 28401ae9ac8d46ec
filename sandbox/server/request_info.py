"""What a request is about: resource, object and verb, from method, path and query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.server.objects import resources
from sandbox.server.objects.resources import ResourceType

_TRUE = ("1", "true", "t")
_NAMED_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class RequestInfo:
    """A request as authorization and routing see it.

    :param verb: the Kubernetes verb; for a path that is no resource the HTTP method in lower case.
    :param resource_type: None for a path that is no resource (``/version``, ``/apis``) or is not served.
    :param namespace: None at the cluster scope.
    :param name: None for a collection.
    :param selected_name: the name that a field selector of a collection asks for, None otherwise.
    """

    path: str
    verb: str
    resource_type: ResourceType | None = None
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    selected_name: str | None = None

    @property
    def resource(self) -> str:
        """The resource as RBAC names it: ``pods``, ``pods/exec``; empty for other paths."""
        if self.resource_type is None:
            return ""
        plural = self.resource_type.plural
        return f"{plural}/{self.subresource}" if self.subresource else plural


def is_true(value: str | None) -> bool:
    """A query parameter as the real server reads booleans (``watch=1``, ``watch=True``)."""
    return (value or "").lower() in _TRUE


def request_info(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Take a request apart.

    :param raw_path: the path as it was sent, percent-encoded, without the query.
    """
    segments = [unquote(segment) for segment in raw_path.split("/") if segment]
    path = "/" + "/".join(segments)
    place = _place(segments)
    if place is None:
        return RequestInfo(path, method.lower())
    resource_type, namespace, rest = place
    name = rest[0] if rest else None
    subresource = "/".join(rest[1:]) or None
    if name is not None or subresource is not None:
        verb = "delete" if method == "DELETE" else _NAMED_VERBS.get(method, method.lower())
        return RequestInfo(path, verb, resource_type, namespace, name, subresource)
    return RequestInfo(
        path,
        _collection_verb(method, query),
        resource_type,
        namespace,
        selected_name=_selected_name(query.get("fieldSelector", "")),
    )


def _place(segments: list[str]) -> tuple[ResourceType, str | None, list[str]] | None:
    if segments[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", segments[2:]
    elif segments[:1] == ["apis"] and len(segments) > 3:
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    namespace: str | None = None
    # /namespaces/NAME and /namespaces/NAME/status are the Namespace itself.
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return None
    resource_type = resources.find(group, version, rest[0])
    if resource_type is None or (namespace is not None and not resource_type.namespaced):
        return None
    return resource_type, namespace, rest[1:]


def _collection_verb(method: str, query: Mapping[str, str]) -> str:
    if method in ("GET", "HEAD"):
        return "watch" if is_true(query.get("watch")) else "list"
    if method == "DELETE":
        return "deletecollection"
    return "create" if method == "POST" else method.lower()


def _selected_name(field_selector: str) -> str | None:
    for requirement in field_selector.split(","):
        field, _, value = requirement.partition("=")
        if field == "metadata.name" and value:
            return value.removeprefix("=")
    return None
