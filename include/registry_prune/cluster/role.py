"""The role ``system:image-pruner`` for the registry's service account: granted if needed, taken away afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.names import DEPLOYMENT, IMAGE_PRUNER_ROLE, MANAGED_BY, NAMESPACE, OUR_BINDING
from include.registry_prune.records import Record

log = logging.getLogger(__name__)


OWNER_ANNOTATION = "registry-prune/owner"
"""Of our binding: the run that made it."""


class Grant(Record):
    """Whether the registry's service account had the role, or got it from us.

    :param ours: the binding is this project's, and is taken away after the run.
    :param binding: name of the ClusterRoleBinding that gives the role.
    """

    version: Literal[1] = 1
    service_account: str
    binding: str
    ours: bool


def covering_binding(bindings: Sequence[Mapping[str, Any]], service_account: str) -> str | None:
    """Name of a binding, other than ours, that gives the role to the service account; None if there is none.

    The name says nothing: ``oc adm policy`` calls it ``system:image-pruner``, ``…-0``, or what the caller wanted.
    """
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"}
    user = f"system:serviceaccount:{NAMESPACE}:{service_account}"
    for binding in bindings:
        role = binding["roleRef"]
        if (role["kind"], role["name"]) != ("ClusterRole", IMAGE_PRUNER_ROLE):
            continue
        if binding["metadata"]["name"] == OUR_BINDING:
            continue
        for subject in binding.get("subjects") or ():
            account = (subject["kind"], subject["name"], subject.get("namespace"))
            is_account = account == ("ServiceAccount", service_account, NAMESPACE)
            is_user = subject["kind"] == "User" and subject["name"] == user
            is_group = subject["kind"] == "Group" and subject["name"] in groups
            if is_account or is_user or is_group:
                return str(binding["metadata"]["name"])
    return None


def grant_role(cluster: Cluster, *, owner: str = "", is_over: Callable[[str], bool] = lambda owner: True) -> Grant:
    """Give the registry's service account the role if no binding does yet. Calling it again is safe.

    :param owner: the run, by a name that no other has; it takes the binding away again.
    :param is_over: whether the run that made a binding which is there is over, so that nobody else takes it away.

    :raises ClusterError: if there is no Deployment to read the service account from, or the cluster refuses.
    """
    deployment = cluster.deployment()
    if deployment is None:
        raise ClusterError(f"Deployment {DEPLOYMENT} is not there: is the registry's managementState Removed?", 404)
    pod_spec = deployment["spec"]["template"]["spec"]
    service_account = str(pod_spec.get("serviceAccountName") or pod_spec.get("serviceAccount") or "default")
    bindings = cluster.role_bindings()
    binding = covering_binding(bindings, service_account)
    if binding is not None:
        log.info(
            "Service account %s has %s already, by ClusterRoleBinding %s", service_account, IMAGE_PRUNER_ROLE, binding
        )
        return Grant(service_account=service_account, binding=binding, ours=False)
    ours = next((each for each in bindings if each["metadata"]["name"] == OUR_BINDING), None)
    wanted = _our_binding(service_account, owner)
    if ours is not None and ours.get("subjects") != wanted["subjects"]:
        cluster.delete_role_binding(OUR_BINDING)
        log.warning("ClusterRoleBinding %s was for another account; making it anew", OUR_BINDING)
        ours = None
    if ours is not None and not _is_of(ours, owner):
        if not is_over(owner_of(ours)):
            log.info("ClusterRoleBinding %s is of %s, which is at work: it stays", OUR_BINDING, owner_of(ours))
            return Grant(service_account=service_account, binding=OUR_BINDING, ours=False)
        cluster.delete_role_binding(OUR_BINDING)
        log.info("ClusterRoleBinding %s is of %s, which is over; making it anew", OUR_BINDING, owner_of(ours))
        ours = None
    if ours is None:
        cluster.create_role_binding(wanted)
        log.info(
            "ClusterRoleBinding %s created: %s for service account %s", OUR_BINDING, IMAGE_PRUNER_ROLE, service_account
        )
    return Grant(service_account=service_account, binding=OUR_BINDING, ours=True)


def owner_of(binding: Mapping[str, Any]) -> str:
    """The run that made our binding; empty if it does not say so."""
    return str((binding["metadata"].get("annotations") or {}).get(OWNER_ANNOTATION) or "")


def _is_of(binding: Mapping[str, Any], owner: str) -> bool:
    return owner_of(binding) == owner


def _our_binding(service_account: str, owner: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": OUR_BINDING, "labels": MANAGED_BY, "annotations": {OWNER_ANNOTATION: owner}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": IMAGE_PRUNER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": NAMESPACE}],
    }


def revoke_role_of(cluster: Cluster, window: str) -> bool:
    """Take our binding away, if the run of a window made it; False if it stays or was not there.

    Who closes a window knows its lease alone, and anybody who may annotate the Config can write one: what the binding
    says of itself decides.

    :param window: token of the window.
    """
    try:
        binding = cluster.role_binding(OUR_BINDING)
    except ClusterError as error:
        if error.status != 403:
            raise
        log.warning("ClusterRoleBinding %s stays, and the next run takes it over: %s", OUR_BINDING, error)
        return False
    if binding is None:
        return False
    if not _is_made_by(binding, window):
        log.warning("ClusterRoleBinding %s is not of this window's run: it stays", OUR_BINDING)
        return False
    return revoke_role(cluster)


def _is_made_by(binding: Mapping[str, Any], window: str) -> bool:
    """Whether it is this project's, and the run's that had this window; one of 0.1.0 does not say whose it is."""
    role = binding["roleRef"]
    ours = (binding["metadata"].get("labels") or {}).items() >= MANAGED_BY.items()
    run_token = owner_of(binding).rpartition(" ")[2]
    of_run = not run_token or window.startswith(f"{run_token}-")
    return ours and of_run and (role["kind"], role["name"]) == ("ClusterRole", IMAGE_PRUNER_ROLE)


def revoke_role(cluster: Cluster, *, owner: str | None = None) -> bool:
    """Take our binding away, and no other; False if it was not there, or is another run's.

    :param owner: the run that made it; None: whoever did.
    """
    if owner is not None:
        ours = next((each for each in cluster.role_bindings() if each["metadata"]["name"] == OUR_BINDING), None)
        if ours is not None and not _is_of(ours, owner):
            log.info("ClusterRoleBinding %s is of %s: it stays", OUR_BINDING, owner_of(ours) or "an earlier version")
            return False
    removed = cluster.delete_role_binding(OUR_BINDING)
    log.info("ClusterRoleBinding %s: %s", OUR_BINDING, "deleted" if removed else "not there, nothing to delete")
    return removed
