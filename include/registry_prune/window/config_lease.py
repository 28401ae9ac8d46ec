"""The lease where it stands, on the Config CR: read, and written with optimistic concurrency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window.lease import (
    ANNOTATION,
    CLOSED_ANNOTATION,
    KEPT_CLOSED,
    LONGEST_TOKEN,
    Holder,
    Lease,
    LeaseError,
    parse_lease,
)

MAXIMUM_CONFLICTS = 20


def held_lease(config: dict[str, Any]) -> Lease | None:
    """The lease on this Config CR.

    :raises LeaseError: if the annotation is no lease.
    """
    return parse_lease((config["metadata"].get("annotations") or {}).get(ANNOTATION))


def read_lease(cluster: Cluster) -> Lease | None:
    """The lease that is on the Config CR now.

    :raises LeaseError: if the annotation is no lease.
    """
    return held_lease(cluster.config())


def change_config(cluster: Cluster, decide: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    """Read the Config, decide on a patch, and write it only if nothing has changed in between; else from the start.

    The operator writes its status to the same object, so a conflict is nothing unusual, and another run's lease is
    seen by the next look.

    :param decide: gets the Config; returns the patch, or None to change nothing; may raise.
    :return: the Config as it was written; None if nothing was changed.
    """
    for _ in range(MAXIMUM_CONFLICTS):
        config = cluster.config()
        patch = decide(config)
        if patch is None:
            return None
        try:
            return cluster.patch_config(patch, resource_version=config["metadata"]["resourceVersion"])
        except ClusterError as error:
            if error.status != 409:
                raise
    raise ClusterError(
        f"Config cluster: somebody else changed it {MAXIMUM_CONFLICTS} times in a row while it was written. Try again",
        409,
    )


def lease_patch(lease: Lease, **spec: Any) -> dict[str, Any]:
    """A patch of the Config CR that writes the lease, and these fields of its ``spec``."""
    patch: dict[str, Any] = {"metadata": {"annotations": {ANNOTATION: lease.to_annotation()}}}
    return {**patch, "spec": spec} if spec else patch


def closed_windows(config: dict[str, Any]) -> tuple[str, ...]:
    """The tokens of the last windows that were closed, the newest first."""
    noted = ((config["metadata"].get("annotations") or {}).get(CLOSED_ANNOTATION) or "").split()
    return tuple(token for token in noted if len(token) <= LONGEST_TOKEN)


def removal_patch(config: dict[str, Any], lease: Lease) -> dict[str, Any]:
    """A patch of this Config CR that takes the lease away and remembers that its window was closed."""
    closed = dict.fromkeys((lease.token, *closed_windows(config)))
    kept = " ".join(list(closed)[:KEPT_CLOSED])
    return {"metadata": {"annotations": {ANNOTATION: None, CLOSED_ANNOTATION: kept}}}


def change_own_lease(cluster: Cluster, holder: Holder, change: Callable[[Lease], Lease]) -> None:
    """Write a change to this window's lease.

    :raises LeaseError: if it is not there.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        changed = change(lease)
        return None if changed == lease else lease_patch(changed)

    change_config(cluster, decide)


def require_own_lease(config: dict[str, Any], holder: Holder) -> Lease:
    """The lease on this Config CR, if it is of this window.

    :raises LeaseError: if it is not.
    """
    held = held_lease(config)
    if held is None or not held.held_by(holder):
        there = f"that of another window of {held.holder}" if held else "none"
        raise LeaseError(
            f"Config cluster does not have the lease of this window of {holder.text()} (it has: {there}): the window "
            "was closed, somebody removed the lease, or the Airflow connection points to another cluster. This run "
            "changes nothing more there."
        )
    return held


def remove_lease(cluster: Cluster, lease: Lease) -> None:
    """Take this window's lease away, if it is still there, and remember that its window was closed."""

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        held = held_lease(config)
        return removal_patch(config, lease) if held is not None and held.held_by(lease.owner) else None

    change_config(cluster, decide)
