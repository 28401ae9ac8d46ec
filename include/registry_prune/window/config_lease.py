"""The lease where it stands, on the Config CR: read, and written with optimistic concurrency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window.lease import (
    ANNOTATION,
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
        f"Config cluster: changed by others {MAXIMUM_CONFLICTS} times in a row while it was written", 409
    )


def lease_patch(lease: Lease, **spec: Any) -> dict[str, Any]:
    """A patch of the Config CR that writes the lease, and these fields of its ``spec``."""
    patch: dict[str, Any] = {"metadata": {"annotations": {ANNOTATION: lease.to_annotation()}}}
    return {**patch, "spec": spec} if spec else patch


def change_own_lease(cluster: Cluster, holder: str, change: Callable[[Lease], Lease]) -> None:
    """Write a change to this run's lease.

    :raises LeaseError: if this run does not hold it.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        changed = change(lease)
        return None if changed == lease else lease_patch(changed)

    change_config(cluster, decide)


def require_own_lease(config: dict[str, Any], holder: str) -> Lease:
    """The lease on this Config CR, if ``holder`` holds it.

    :raises LeaseError: if it does not.
    """
    held = held_lease(config)
    if held is None or held.holder != holder:
        raise LeaseError(
            f"The lease of {holder} is not on Config cluster (there is: {held.holder if held else 'none'}): "
            "somebody took the window away from this run, so it changes nothing more"
        )
    return held
