"""What a run must be allowed to do, and whether the cluster is in a state for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from include.registry_prune.base_prune import active_jobs
from include.registry_prune.base_prune_job import job_name
from include.registry_prune.cluster import Cluster
from include.registry_prune.lease import LeaseError
from include.registry_prune.names import IMAGE_PRUNER_ROLE, NAMESPACE, OUR_BINDING
from include.registry_prune.records import Record
from include.registry_prune.registry_state import RegistryState
from include.registry_prune.window import check_may_arm_now

log = logging.getLogger(__name__)

_OPERATOR = "imageregistry.operator.openshift.io"


class Permission(Record):
    """One thing that a run does, as RBAC names it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def attributes(self) -> dict[str, str]:
        """As the resource attributes of a SelfSubjectAccessReview."""
        return {key: value for key, value in self.model_dump().items() if value or key == "group"}

    def rule(self) -> str:
        """As a rule to add, in the notation of RBAC."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        names = f', resourceNames: ["{self.name}"]' if self.name else ""
        where = f"in namespace {self.namespace}" if self.namespace else "in a ClusterRole"
        return f'{{apiGroups: ["{self.group}"], resources: ["{resource}"]{names}, verbs: ["{self.verb}"]}} {where}'


def _each(verbs: str, group: str, resource: str, **rest: str) -> list[Permission]:
    return [Permission(verb=verb, group=group, resource=resource, **rest) for verb in verbs.split()]


LOOK = (
    *_each("get", _OPERATOR, "configs", name="cluster"),
    *_each("get", _OPERATOR, "imagepruners", name="cluster"),
    *_each("get", "apps", "deployments", namespace=NAMESPACE, name="image-registry"),
    *_each("list", "", "pods", namespace=NAMESPACE),
    *_each("get create", "", "pods", subresource="exec", namespace=NAMESPACE),
    *_each("list", "batch", "jobs", namespace=NAMESPACE),
    *_each("list", "image.openshift.io", "images"),
    *_each("list", "image.openshift.io", "imagestreams"),
    *_each("get", "config.openshift.io", "clusterversions", name="version"),
)
"""What every run does."""
ROLE = (
    *_each("list create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    *_each("delete", "rbac.authorization.k8s.io", "clusterrolebindings", name=OUR_BINDING),
    *_each("bind", "rbac.authorization.k8s.io", "clusterroles", name=IMAGE_PRUNER_ROLE),
)
"""What a survey needs: the registry's service account gets its role."""
BASE_PRUNE = (
    *_each("get", "batch", "cronjobs", namespace=NAMESPACE, name="image-pruner"),
    *_each("get create delete", "batch", "jobs", namespace=NAMESPACE),
    *_each("get", "", "pods", subresource="log", namespace=NAMESPACE),
)
"""What the base prune needs."""
WINDOW = (
    *_each("patch watch", _OPERATOR, "configs", name="cluster"),
    *_each("watch", "apps", "deployments", namespace=NAMESPACE, name="image-registry"),
    *_each("watch", "", "pods", namespace=NAMESPACE),
    *_each("patch", _OPERATOR, "imagepruners", name="cluster"),
    *_each("delete", "", "pods", namespace=NAMESPACE),
)
"""What a run that may open the window needs; a pod is deleted where a pruner in it cannot be ended otherwise."""
RESTART = tuple(permission for permission in WINDOW if permission.verb in ("watch", "delete"))
"""What replacing the registry's pods after the base prune needs."""


class AccessReview(Record):
    """Who the run is in the cluster, and what it found there.

    :param image_count: Image objects in the cluster; where the API server does not tell, at least so many.
    """

    version: Literal[1] = 1
    user: str
    server: str
    registry_pods: int
    image_count: int


class AccessError(Exception):
    """The run may not start; the message names everything that is missing, and what to do."""


def missing_permissions(cluster: Cluster, permissions: tuple[Permission, ...]) -> list[Permission]:
    """Those that the account lacks; every one is asked for."""
    return [permission for permission in permissions if not cluster.may_i(permission.attributes())]


def state_problems(state: RegistryState) -> list[str]:
    """Why a registry in this state cannot be pruned, each in words with what to do (pure)."""
    if state.management_state != "Managed":
        consequence = {
            "Unmanaged": "the operator would not carry readOnly on to the pods",
            "Removed": "there is no registry to prune",
        }.get(state.management_state, "the operator does not manage the registry")
        return [
            f"Config cluster: managementState is {state.management_state or 'not set'}: {consequence}. "
            "Set it to Managed, or pause this DAG for the cluster."
        ]
    if not state.deployment_found:
        return ["Deployment image-registry is not there although managementState is Managed: look at the operator."]
    if not state.ready_pods():
        pods = ", ".join(f"{pod.name} ({pod.phase})" for pod in state.pods) or "there is no pod at all"
        return [f"No registry pod is ready: {pods}. The pruner runs in one: repair the registry first."]
    return []


def review_access(
    cluster: Cluster,
    *,
    holder: str,
    permissions: tuple[Permission, ...],
    may_open_window: bool,
    waits_for_base_prune: bool = False,
) -> AccessReview:
    """Look whether the run may start.

    :param permissions: what this run, with its parameters, will do.
    :param may_open_window: then a window of somebody else is a reason not to start.
    :param waits_for_base_prune: the run's own base prune waits for another one that is at work; else that is a reason
        not to start.
    :raises AccessError: with every missing permission and the first thing about the state that is in the way.
    :raises ClusterError: if the cluster does not answer or the credentials are refused.
    """
    user = cluster.who_am_i()
    missing = missing_permissions(cluster, permissions)
    if missing:
        rules = "\n".join(f"  - {permission.rule()}" for permission in missing)
        raise AccessError(
            f"{user} lacks {len(missing)} of {len(permissions)} permissions at {cluster.server}. "
            f"Add these rules (deploy/rbac.yaml has all):\n{rules}"
        )
    state = cluster.registry_state()
    problems = state_problems(state)
    if may_open_window:
        try:
            check_may_arm_now(cluster, holder=holder)
        except LeaseError as error:
            problems.append(str(error))
    jobs = active_jobs(cluster, except_job=job_name(holder))
    if jobs and waits_for_base_prune:
        log.info("A base prune is at work already (Job %s): base_prune will wait for its end", ", ".join(jobs))
    elif jobs:
        problems.append(f"A base prune is at work already (Job {', '.join(jobs)}): let it end first.")
    if problems:
        raise AccessError("\n".join(problems))
    return AccessReview(
        user=user, server=cluster.server, registry_pods=len(state.pods), image_count=cluster.image_count()
    )


def needed_permissions(
    needs: Mapping[Literal["role", "base_prune", "restart", "window"], bool],
) -> tuple[Permission, ...]:
    """The permissions of a run that does these things, each once."""
    groups = {"role": ROLE, "base_prune": BASE_PRUNE, "restart": RESTART, "window": WINDOW}
    needed = LOOK + tuple(each for need, wanted in needs.items() if wanted for each in groups[need])
    return tuple(dict.fromkeys(needed))
