"""After a base prune the registry's pods remember layers that are gone.

Each pod keeps metadata of blobs in memory, and the base prune does not clear it. To a push of such a layer the
registry says that it has it already; the push "succeeds", and the image cannot be pulled. So the documentation
(*Pruning objects to reclaim resources*, manually pruning images) wants the registry redeployed after every prune. A
read-only window does that by its rollouts.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime

from include.registry_prune.base_prune.job import Restart
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.cluster.settling import replace_pods
from include.registry_prune.units import format_count, format_seconds
from include.registry_prune.window.in_the_way import in_the_way

log = logging.getLogger(__name__)


def restart_registry(cluster: Cluster, *, pruned_until: datetime | None, limit_seconds: float) -> Restart:
    """Replace every pod that was there while the base prune worked, one after another. Calling it again goes on.

    The registry takes pushes all the while; an upload that is not finished when its pod's grace is over has to be
    repeated by its client.

    :param pruned_until: when the base prune ended, by the cluster's clock; None: every pod of now is replaced.
    :param limit_seconds: for all pods together.
    :raises NotSettledError: if a new pod does not get ready; the others are left alone.
    """
    started = time.monotonic()
    state = cluster.registry_state()
    reason = _in_the_way(cluster, state)
    if reason:
        log.warning("The registry's pods are not replaced: %s", reason)
        return Restart(needed=True, not_done=reason)
    replaced = replace_pods(
        cluster,
        [pod.uid for pod in state.pods if not pod.ended and _may_remember(pod, pruned_until)],
        read_only=False,
        limit_seconds=limit_seconds,
        because="may remember layers that the base prune deleted",
    )
    seconds = time.monotonic() - started
    log.info("Replaced %s in %s", format_count(replaced, "registry pod"), format_seconds(seconds))
    return Restart(needed=True, replaced=replaced, seconds=round(seconds, 3))


def _may_remember(pod: PodState, pruned_until: datetime | None) -> bool:
    # The API tells times in whole seconds; a pod of the same second may be an old one.
    return pruned_until is None or pod.created_at is None or pod.created_at <= pruned_until


def _in_the_way(cluster: Cluster, state: RegistryState) -> str:
    """Why no pod may be deleted now; empty if nothing is."""
    if state.read_only:
        return "the registry is read-only, and they are replaced when it takes pushes again"
    return " ".join(in_the_way(cluster))
