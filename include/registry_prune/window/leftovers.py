"""What a run may have left behind in the cluster."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import unsettled
from include.registry_prune.cluster.role import owner_of
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.pruner.processes import living_pruners
from include.registry_prune.window.builds import BuildsHit, hit_by_window, route_hosts
from include.registry_prune.window.config_lease import read_lease
from include.registry_prune.window.lease import Lease, LeaseError

log = logging.getLogger(__name__)


def leftovers(cluster: Cluster, *, run_token: str, owner: str, lease: Lease | None) -> list[str]:
    """What is left of a run, each in words with what to do; empty if nothing is.

    :param run_token: the run's own name.
    :param owner: the run, by its name in the role binding.
    :param lease: what the run armed its window with; None if it did not say so. Without that, and without a lease of
        its in the cluster, a registry which is read-only or a suspended ImagePruner is somebody else's.
    """
    state = cluster.registry_state()
    found = []
    try:
        held = read_lease(cluster)
        if held is not None and held.owner.of_run(run_token):
            found.append(
                f"Config cluster: the lease of {held.holder} is still there: clear restore_read_write, or wait "
                "for the guard"
            )
            lease = lease or held
        elif held is not None and held.expired(now := datetime.now(UTC)):
            found.append(
                f"Config cluster: the window of {held.holder} is not closed although {held.end_text(now)}: the guard "
                "or the next run closes it; by hand: docs/on-call.md"
            )
    except LeaseError as error:
        found.append(str(error))
    ours = (each for each in cluster.role_bindings() if each["metadata"]["name"] == OUR_BINDING)
    if any(owner_of(binding) in ("", owner) for binding in ours):
        found.append(f"ClusterRoleBinding {OUR_BINDING} is still there: oc delete clusterrolebinding {OUR_BINDING}")
    if lease is None:
        return found
    lost = [pod.name for pod in state.pods if pod.lost()]
    found += [
        f"pod {name}: it should be gone for long, and its node does not answer, so nobody can look for a pruner in it: "
        "look at `oc get nodes`, and bring the node back or take it out of the cluster"
        for name in lost
    ]
    state = state.model_copy(update={"pods": tuple(pod for pod in state.pods if pod.name not in lost)})
    found += unsettled(state, read_only=lease.read_only_before)
    found += [f"a pruner still lives: {each}" for each in living_pruners(cluster, state)]
    pruner = cluster.image_pruner()
    suspended = None if pruner is None else bool(pruner["spec"].get("suspend"))
    if suspended is not lease.image_pruner_suspended_before:
        found.append(
            f"ImagePruner cluster: spec.suspend is {suspended}, it was {lease.image_pruner_suspended_before} before: "
            "clear restore_read_write, or set it back by hand (docs/on-call.md)"
        )
    return found


def builds_hit(cluster: Cluster, *, opened: datetime, closed: datetime) -> BuildsHit | None:
    """The builds that lost their push to the window; None if the cluster does not tell, which is no reason to fail."""
    try:
        hosts = route_hosts(cluster.config())
        return hit_by_window(cluster.builds(), opened=opened, closed=closed, hosts=hosts)
    except ClusterError as error:
        log.warning("The cluster did not tell which builds lost their push to the window: %s", error)
        return None
