"""What a run must be allowed to do, and whether the cluster is in a state for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.jobs import active_jobs
from include.registry_prune.names import (
    ACCOUNT,
    DEPLOYMENT,
    GUARD_NAMESPACE,
    IMAGE_PRUNER_CRON_JOB,
    IMAGE_PRUNER_ROLE,
    NAMESPACE,
    OPERATOR_GROUP,
    OUR_BINDING,
)
from include.registry_prune.preflight.readiness import guard_notes, look
from include.registry_prune.records import Record
from include.registry_prune.window.in_the_way import in_the_way

log = logging.getLogger(__name__)


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
    *_each("get", OPERATOR_GROUP, "configs", name="cluster"),
    *_each("get", OPERATOR_GROUP, "imagepruners", name="cluster"),
    *_each("get", "apps", "deployments", namespace=NAMESPACE, name=DEPLOYMENT),
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
    *_each("get delete", "rbac.authorization.k8s.io", "clusterrolebindings", name=OUR_BINDING),
    *_each("bind", "rbac.authorization.k8s.io", "clusterroles", name=IMAGE_PRUNER_ROLE),
)
"""What a survey needs: the registry's service account gets its role."""
BASE_PRUNE = (
    *_each("get", "batch", "cronjobs", namespace=NAMESPACE, name=IMAGE_PRUNER_CRON_JOB),
    *_each("get create delete", "batch", "jobs", namespace=NAMESPACE),
    *_each("get", "", "pods", subresource="log", namespace=NAMESPACE),
)
"""What the base prune needs."""
WINDOW = (
    *_each("patch watch", OPERATOR_GROUP, "configs", name="cluster"),
    *_each("watch", "apps", "deployments", namespace=NAMESPACE, name=DEPLOYMENT),
    *_each("watch", "", "pods", namespace=NAMESPACE),
    *_each("patch", OPERATOR_GROUP, "imagepruners", name="cluster"),
    *_each("delete", "", "pods", namespace=NAMESPACE),
    *_each("list", "build.openshift.io", "builds"),
    *_each("watch", "image.openshift.io", "images"),
)
"""What a run that may open the window needs; a pod is deleted where a pruner in it cannot be ended otherwise."""
EXACT_DELETE = (
    *_each("create", "", "pods", namespace=NAMESPACE),
    *_each("get", "", "pods", subresource="log", namespace=NAMESPACE),
)
"""What a delete by the list needs besides: a pod of its own."""
RESTART = tuple(each for each in WINDOW if each.verb in ("watch", "delete") and each.resource != "images")
"""What replacing the registry's pods after the base prune needs."""

GUARD = (
    *_each("get patch watch", OPERATOR_GROUP, "configs", name="cluster"),
    *_each("get patch", OPERATOR_GROUP, "imagepruners", name="cluster"),
    *_each("get watch", "apps", "deployments", namespace=NAMESPACE, name=DEPLOYMENT),
    *_each("list watch delete", "", "pods", namespace=NAMESPACE),
    *_each("get create", "", "pods", subresource="exec", namespace=NAMESPACE),
    *_each("get delete", "rbac.authorization.k8s.io", "clusterrolebindings", name=OUR_BINDING),
)
"""What the guard in the cluster needs to close a window (deploy/guard.yaml)."""
EVENTS = tuple(_each("get create patch", "", "events", namespace="default"))
"""What Events on the Config CR need. A run works without, and so does the guard in the cluster."""


class AccessReview(Record):
    """Who the run is in the cluster, and what it found there.

    :param cluster_id: the cluster's own id; empty if it does not tell. Every later task compares it.
    :param cluster_version: the cluster's version; during an update the one that it is going to.
    :param storage: the registry's storage driver, as its Config names it.
    :param notes: what is worth saying and stops nothing.
    """

    version: Literal[1] = 1
    cluster_id: str = ""
    user: str
    server: str
    cluster_version: str = ""
    storage: str = ""
    notes: tuple[str, ...] = ()


class AccessError(Exception):
    """The run may not start; the message names everything that is missing, and what to do."""


def missing_permissions(cluster: Cluster, permissions: tuple[Permission, ...]) -> list[Permission]:
    """Those that the account lacks; every one is asked for."""
    return [permission for permission in permissions if not cluster.may_i(permission.attributes())]


def review_access(
    cluster: Cluster,
    *,
    permissions: tuple[Permission, ...],
    may_open_window: bool,
    waits_for_base_prune: bool = False,
) -> AccessReview:
    """Look whether the run may start.

    :param permissions: what this run, with its parameters, will do.
    :param may_open_window: then whatever forbids a delete, and a window of somebody else, is a reason not to start.
    :param waits_for_base_prune: the run's own base prune waits for another one that is at work; else that is a reason
        not to start.
    :raises AccessError: with every missing permission, and everything about the cluster's state that is in the way.
    :raises ClusterError: if the cluster does not answer or the credentials are refused.
    """
    user = cluster.who_am_i()
    problems = []
    missing = missing_permissions(cluster, permissions)
    if missing:
        rules = "\n".join(f"  - {permission.rule()}" for permission in missing)
        problems.append(
            f"{user} lacks {len(missing)} of {len(permissions)} permissions at {cluster.server}. "
            f"Add these rules (deploy/rbac.yaml has all):\n{rules}"
        )
    try:
        ready = look(cluster, may_open_window=may_open_window)
        found = in_the_way(cluster, waits_for_jobs=waits_for_base_prune)
    except ClusterError as error:
        if not missing:
            raise
        problems.append(f"The run could not look at the state of the cluster: {error}")
        raise AccessError("\n".join(problems)) from error
    problems += ready.problems
    problems += [each for each in found if each not in problems]
    if waits_for_base_prune and (jobs := active_jobs(cluster)):
        log.info("A base prune is at work already (Job %s): base_prune will wait for its end", ", ".join(jobs))
    if problems:
        raise AccessError("\n".join(problems))
    notes = [*ready.notes, *(_window_notes(cluster, user) if may_open_window else ())]
    return AccessReview(
        cluster_id=ready.cluster_id,
        user=user,
        server=cluster.server,
        cluster_version=ready.version,
        storage=ready.storage,
        notes=tuple(notes),
    )


def guard_namespace(user: str) -> str:
    """Where the guard in the cluster is: beside the run's own account, by whatever name an overlay gave that namespace.

    :param user: who the run is in the cluster.
    """
    kind, _, account = user.rpartition("system:serviceaccount:")
    namespace, _, name = account.partition(":")
    return namespace if not kind and name == ACCOUNT else GUARD_NAMESPACE


def _window_notes(cluster: Cluster, user: str) -> list[str]:
    """What a run that opens a window would like to know, and cannot have or know; it stops nothing."""
    try:
        notes = guard_notes(cluster.guard_cron_job(guard_namespace(user)), now=datetime.now(UTC))
    except ClusterError as error:
        notes = [f"Whether a guard works in the cluster is not known: {error}"]
    if not cluster.serves_builds():
        notes.append(
            "This cluster serves no builds (it has no API build.openshift.io): nothing is known of running builds, so "
            "none is waited for."
        )
    return notes


def token_note(expires_at: datetime | None, *, now: datetime, warning: timedelta) -> str | None:
    """What to say of a token that ends soon (pure); None if it does not, or does not tell.

    :param warning: so long before its end it is said.
    """
    if expires_at is None or expires_at - now > warning:
        return None
    days = max((expires_at - now).days, 0)
    return (
        f"The token of the Airflow connection expires at {expires_at:%Y-%m-%d %H:%M %Z}, in {days} days: renew it "
        "(docs/connection.md)."
    )


def token_problem(expires_at: datetime | None, *, ends_by: datetime) -> str | None:
    """Why no window may be opened with a token (pure): who opens it has to be able to close it. None if it lasts.

    :param ends_by: when the window has to be closed, at the latest.
    """
    if expires_at is None or expires_at > ends_by:
        return None
    return (
        f"The token of the Airflow connection expires at {expires_at:%Y-%m-%d %H:%M %Z}, perhaps before a window that "
        "is opened now is closed again: this run opens none. Renew it (docs/connection.md)."
    )


def needed_permissions(
    needs: Mapping[Literal["role", "base_prune", "restart", "window", "exact_delete"], bool],
) -> tuple[Permission, ...]:
    """The permissions of a run that does these things, each once."""
    groups = {
        "role": ROLE,
        "base_prune": BASE_PRUNE,
        "restart": RESTART,
        "window": WINDOW,
        "exact_delete": EXACT_DELETE,
    }
    needed = LOOK + tuple(each for need, wanted in needs.items() if wanted for each in groups[need])
    return tuple(dict.fromkeys(needed))
