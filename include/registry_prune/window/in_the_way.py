"""What is in the way of a pruner: one look, the same before every pruner, dry runs and base prunes too.

Two pruners at once end each other, and a pruner beside pushes tears images. Whoever starts one looks here first; what
the look finds is never ended by it.
"""

from __future__ import annotations

import logging

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.jobs import active_jobs
from include.registry_prune.cluster.registry_state import RegistryState
from include.registry_prune.names import EXACT_DELETE_POD, NAMESPACE
from include.registry_prune.pruner.exact_delete_pod import PLACEHOLDER, exact_pod
from include.registry_prune.pruner.processes import living_pruners
from include.registry_prune.window.config_lease import held_lease
from include.registry_prune.window.lease import DeleteAttempt, Holder, LeaseError

log = logging.getLogger(__name__)


class InTheWayError(Exception):
    """No pruner may be started now; the message says what is in the way."""


def in_the_way(
    cluster: Cluster,
    *,
    own: Holder | None = None,
    own_attempt: DeleteAttempt | None = None,
    waits_for_jobs: bool = False,
) -> list[str]:
    """What is in the way of starting a pruner now, each in words with what to do; empty if nothing is.

    :param own: the window in which the pruner is to work: its lease is not in the way.
    :param own_attempt: the delete that is to be followed: it is not in the way, and a pod that cannot be looked into is
        no reason to give it up.
    :param waits_for_jobs: whoever asks waits for the end of other base prunes: they are not in the way.
    :raises ClusterError: if the cluster does not answer, or a pod cannot be looked into.
    """
    return [
        *_windows_of_others(cluster, own),
        *_exact_pods(cluster, own),
        *(
            f"A base prune is at work (Job {job}): let it end first."
            for job in ([] if waits_for_jobs else active_jobs(cluster))
        ),
        *(
            f"A pruner is at work already, and two at once disturb each other: {each}. Wait until it ends, or end "
            "that process."
            for each in _pruners(cluster, cluster.registry_state(), own_attempt)
        ),
    ]


def require_clear_way(cluster: Cluster, *, own: Holder | None = None, own_attempt: DeleteAttempt | None = None) -> None:
    """The look right before a pruner is started; see :func:`in_the_way`.

    :raises InTheWayError: if something is in the way.
    """
    found = in_the_way(cluster, own=own, own_attempt=own_attempt)
    if found:
        raise InTheWayError("This run starts no pruner: " + " ".join(found))


def _windows_of_others(cluster: Cluster, own: Holder | None) -> list[str]:
    try:
        held = held_lease(cluster.config())
    except LeaseError as error:
        return [str(error)]
    if held is None or (own is not None and held.held_by(own)):
        return []
    return [
        f"{held.holder} holds the read-only window, until {held.ends_at:%Y-%m-%d %H:%M:%S %Z} {held.run_url}".rstrip()
        + ". A run at work moves that time on; after it the guard or the next run closes the window."
    ]


def _exact_pods(cluster: Cluster, own: Holder | None) -> list[str]:
    """The pod of an exact delete, or of an undo: a pruner beside it ends in mid-walk at what it takes or brings.

    What only holds the name is not in the way: its window's lease is, as long as that is closed.
    """
    pod = exact_pod(cluster)
    if pod is None or pod.purpose == PLACEHOLDER or pod.over or (own is not None and pod.window == own.token):
        return []
    return [f"There is {pod.text()}. Let it end, or delete it there: oc delete pod {EXACT_DELETE_POD} -n {NAMESPACE}"]


def _pruners(cluster: Cluster, state: RegistryState, own: DeleteAttempt | None) -> list[str]:
    others = tuple(pod for pod in state.pods if own is None or pod.uid != own.pod_uid)
    try:
        return living_pruners(cluster, state.model_copy(update={"pods": others}))
    except ClusterError as error:
        if own is None:
            raise
        log.warning(
            "One pod could not be searched for a pruner, and the task follows the delete all the same: %s", error
        )
        return []
