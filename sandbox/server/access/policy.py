"""What a cluster has from its first moment: the server's own namespaces and default roles.

The real server makes them in its post-start hooks ``start-system-namespaces-controller`` and
``rbac/bootstrap-roles``.
"""

from __future__ import annotations

from sandbox.server.access.authentication import AUTHENTICATED, MASTERS
from sandbox.server.access.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC_GROUP
from sandbox.server.errors import JsonObject
from sandbox.server.objects.store import Store

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_PUBLIC_PATHS]
_ROLES: dict[str, tuple[str, list[JsonObject]]] = {
    "cluster-admin": (
        MASTERS,
        [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    ),
    "system:basic-user": (
        AUTHENTICATED,
        [
            {
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                "verbs": ["create"],
            },
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["selfsubjectreviews"],
                "verbs": ["create"],
            },
        ],
    ),
    "system:discovery": (AUTHENTICATED, [{"nonResourceURLs": _DISCOVERY_PATHS, "verbs": ["get"]}]),
}
"""Role by name: the group it is bound to, and its rules."""


def create_default_policy(store: Store) -> None:
    """Create what is missing of the default namespaces, roles and bindings."""
    for name in _NAMESPACES:
        if store.find("namespaces", name) is None:
            store.create("namespaces", {"metadata": {"name": name}})
    for name, (group, rules) in _ROLES.items():
        metadata = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        if store.find(CLUSTER_ROLES, name) is None:
            store.create(CLUSTER_ROLES, {"metadata": metadata, "rules": rules})
        if store.find(CLUSTER_ROLE_BINDINGS, name) is None:
            binding = {
                "metadata": metadata,
                "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": RBAC_GROUP, "kind": "Group", "name": group}],
            }
            store.create(CLUSTER_ROLE_BINDINGS, binding)
