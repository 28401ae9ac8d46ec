"""Nobody may hand out rights beyond their own: the checks on writes of roles and bindings."""

from __future__ import annotations

import json
from itertools import product

from sandbox.server.access.authentication import MASTERS, User
from sandbox.server.access.rbac import CLUSTER_ROLES, RBAC_GROUP, ROLES, Action, Authorizer, rules_of
from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.objects.resources import ResourceType
from sandbox.server.objects.store import Store


class EscalationCheck:
    """Refuses roles and bindings that would give more than the writer has.

    As in a real cluster, one may bind a role if one holds all of its rules, or has the verb ``bind`` on it;
    and write a role if one holds all of its rules, or has the verb ``escalate``.
    """

    def __init__(self, store: Store, authorizer: Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer

    def check(self, user: User, resource_type: ResourceType, value: JsonObject) -> None:
        """Look at an object that is about to be written.

        :raises ApiError: 403; 404 when a binding names a role that does not exist.
        """
        if resource_type.group != RBAC_GROUP or MASTERS in user.groups:
            return
        namespace = value["metadata"].get("namespace") if resource_type.namespaced else None
        if resource_type.plural in ("roles", "clusterroles"):
            action = Action("escalate", RBAC_GROUP, resource_type.plural, namespace, value["metadata"].get("name"))
            rules = value.get("rules") or []
        else:
            role = value.get("roleRef") or {}
            plural = "clusterroles" if role.get("kind") == "ClusterRole" else "roles"
            action = Action("bind", RBAC_GROUP, plural, namespace, role.get("name"))
            found = rules_of(self._store, role, namespace)
            rules = found or []
            if found is None and self._authorizer.grant_for(user, action) is None:
                resource = CLUSTER_ROLES if plural == "clusterroles" else ROLES
                raise ApiError.not_found(resource, str(role.get("name")))
        if self._authorizer.grant_for(user, action) is None:
            self._check_held(user, namespace, resource_type, value, rules)

    def _check_held(
        self,
        user: User,
        namespace: str | None,
        resource_type: ResourceType,
        value: JsonObject,
        rules: list[JsonObject],
    ) -> None:
        held = [grant.rule for grant in self._authorizer.grants(user, None)]
        if namespace is not None:
            held += [grant.rule for grant in self._authorizer.grants(user, namespace)]
        missing = [shown for rule in rules if (shown := _not_covered(rule, held))]
        if missing:
            groups = " ".join(json.dumps(group) for group in user.groups)
            cause = (
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions '
                "not currently held:\n" + "\n".join(missing)
            )
            raise ApiError.forbidden(resource_type.name, value["metadata"].get("name"), cause)


def _not_covered(rule: JsonObject, held: list[JsonObject]) -> str | None:
    """What of a rule is not covered, as the real server shows it; None if nothing."""
    verbs = rule.get("verbs") or []
    urls = rule.get("nonResourceURLs") or []
    if urls:
        wanted = {
            verb
            for verb, url in product(verbs, urls)
            if not any(_covers(have, "verbs", verb) and _covers(have, "nonResourceURLs", url) for have in held)
        }
        return f"{{NonResourceURLs:{_quoted(urls)}, Verbs:{_quoted(sorted(wanted))}}}" if wanted else None
    groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
    names = rule.get("resourceNames") or [None]
    wanted = {
        verb
        for verb, group, resource, name in product(verbs, groups, resources, names)
        if not any(_covers_resource(have, verb, group, resource, name) for have in held)
    }
    if not wanted:
        return None
    named = f", ResourceNames:{_quoted(names)}" if names != [None] else ""
    return f"{{APIGroups:{_quoted(groups)}, Resources:{_quoted(resources)}{named}, Verbs:{_quoted(sorted(wanted))}}}"


def _covers(held: JsonObject, field: str, value: str) -> bool:
    values = held.get(field) or []
    return "*" in values or value in values


def _covers_resource(held: JsonObject, verb: str, group: str, resource: str, name: str | None) -> bool:
    names = held.get("resourceNames")
    return (
        _covers(held, "verbs", verb)
        and _covers(held, "apiGroups", group)
        and _covers(held, "resources", resource)
        and (not names or name in names)
    )


def _quoted(values: list[str]) -> str:
    return "[" + " ".join(json.dumps(value) for value in values) + "]"
