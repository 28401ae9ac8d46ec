"""Who may do what: decided from the Roles, ClusterRoles and bindings in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sandbox.server.access.authentication import MASTERS, User
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.store import Store
from sandbox.server.request_info import RequestInfo

RBAC_GROUP = "rbac.authorization.k8s.io"
ROLES = f"roles.{RBAC_GROUP}"
CLUSTER_ROLES = f"clusterroles.{RBAC_GROUP}"
ROLE_BINDINGS = f"rolebindings.{RBAC_GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{RBAC_GROUP}"
_SOURCES = (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)


@dataclass(frozen=True)
class Action:
    """What a user wants to do.

    :param resource: with the subresource (``pods/exec``).
    :param namespace: None at the cluster scope or for all namespaces.
    :param path: of a request that is about no resource; then only this and the verb count.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str | None = None
    name: str | None = None
    path: str | None = None

    @classmethod
    def of(cls, info: RequestInfo, verb: str | None = None) -> Action:
        """The action of a request (or, with ``verb``, another one on the same object)."""
        if info.resource_type is None:
            return cls(verb or info.verb, path=info.path)
        return cls(
            verb or info.verb,
            info.resource_type.group,
            info.resource,
            info.namespace,
            info.name or info.selected_name,
        )


class Grant(NamedTuple):
    """A rule that a user has, and where it comes from."""

    rule: JsonObject
    source: str


class Authorizer:
    """Decides by RBAC. Members of ``system:masters`` may do everything."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions: tuple[int, ...] = ()
        self._grants: dict[tuple[User, str | None], list[Grant]] = {}

    def grant_for(self, user: User, action: Action) -> Grant | None:
        """The rule that allows it, or None if nothing does."""
        if MASTERS in user.groups:
            return Grant({"verbs": ["*"]}, f"group {MASTERS}")
        namespaces = (None,) if action.namespace is None else (None, action.namespace)
        for namespace in namespaces:
            for grant in self.grants(user, namespace):
                if _allows(grant.rule, action):
                    return grant
        return None

    def check(self, user: User, action: Action) -> None:
        """Nothing, if it is allowed.

        :raises ApiError: 403 in the real server's words.
        """
        if self.grant_for(user, action) is not None:
            return
        if action.path is not None:
            message = f'forbidden: User "{user.name}" cannot {action.verb} path "{action.path}"'
            raise ApiError(403, "Forbidden", message, {})
        plural, _, _ = action.resource.partition("/")
        scope = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
        cause = (
            f'User "{user.name}" cannot {action.verb} resource "{action.resource}" '
            f'in API group "{action.group}" {scope}'
        )
        qualified = f"{plural}.{action.group}" if action.group else plural
        raise ApiError.forbidden(qualified, action.name, cause)

    def grants(self, user: User, namespace: str | None) -> list[Grant]:
        """The rules that the user has by ClusterRoleBindings, or by one namespace's RoleBindings."""
        versions = tuple(self._store.version(resource) for resource in _SOURCES)
        if versions != self._versions:
            self._versions = versions
            self._grants.clear()
        key = (user, namespace)
        if key not in self._grants:
            self._grants[key] = list(self._find_grants(user, namespace))
        return self._grants[key]

    def _find_grants(self, user: User, namespace: str | None) -> Iterator[Grant]:
        bindings = CLUSTER_ROLE_BINDINGS if namespace is None else ROLE_BINDINGS
        for record in self._store.records(bindings, namespace):
            binding = record.object
            subjects = binding.get("subjects") or []
            subject = next((subject for subject in subjects if _is_subject(subject, user, namespace)), None)
            if subject is not None:
                role = binding["roleRef"]
                source = (
                    f'RBAC: allowed by {binding["kind"]} "{binding["metadata"]["name"]}" '
                    f'of {role["kind"]} "{role["name"]}" to {_shown(subject)}'
                )
                for rule in rules_of(self._store, role, namespace) or []:
                    yield Grant(rule, source)


def rules_of(store: Store, role_reference: JsonObject, namespace: str | None) -> list[JsonObject] | None:
    """The rules of the role that a binding names; None if there is no such role."""
    if role_reference.get("kind") == "ClusterRole":
        role = store.find(CLUSTER_ROLES, role_reference["name"])
    elif namespace:
        role = store.find(ROLES, role_reference["name"], namespace)
    else:
        role = None
    return None if role is None else role.object.get("rules") or []


def _shown(subject: JsonObject) -> str:
    owner = f"/{subject['namespace']}" if subject.get("namespace") else ""
    return f'{subject["kind"]} "{subject["name"]}{owner}"'


def _is_subject(subject: JsonObject, user: User, namespace: str | None) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return False


def _allows(rule: JsonObject, action: Action) -> bool:
    if not _listed(rule.get("verbs"), action.verb):
        return False
    if action.path is not None:
        return any(_path_matches(wanted, action.path) for wanted in rule.get("nonResourceURLs") or [])
    names = rule.get("resourceNames")
    return (
        _listed(rule.get("apiGroups"), action.group)
        and _resource_listed(rule.get("resources"), action.resource)
        and (not names or action.name in names)
    )


def _listed(values: list[str] | None, value: str) -> bool:
    return values is not None and ("*" in values or value in values)


def _resource_listed(values: list[str] | None, resource: str) -> bool:
    if not values:
        return False
    _, _, subresource = resource.partition("/")
    return _listed(values, resource) or bool(subresource and f"*/{subresource}" in values)


def _path_matches(wanted: str, path: str) -> bool:
    return wanted in ("*", path) or (wanted.endswith("*") and path.startswith(wanted[:-1]))
