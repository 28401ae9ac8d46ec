"""How the pod of the exact delete gets its list: once, whatever becomes of the command that hands it over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.pod_exec import feed_pod
from include.registry_prune.exact_pod.manifest import PROGRAM, WORK_FOLDER_OPTION
from include.registry_prune.exact_pod.pod import ExactPodError, Follower
from include.registry_prune.names import EXACT_DELETE_POD

log = logging.getLogger(__name__)

HAND_OVER_SECONDS = 120.0
"""For the pod to check a list that it was given: one of a million takes two seconds."""
HAND_OVER_PATIENCE_SECONDS = 60.0
"""For how long a list is handed over again whose connection broke. The pod takes it once, and works by it once."""
_RETRY_SECONDS = 0.5
_KILLED = 128
"""From this exit status on a signal ended the command."""


def hand_over(
    cluster: Cluster,
    uid: str,
    blocks: Callable[[], Iterable[bytes]],
    *,
    before_each: Callable[[], None] = lambda: None,
) -> None:
    """Give the pod its list, unless it has it: it said so, or has ended.

    The command that takes the list ends with its pod, whose work may be over before the command can say that it has
    all: so how the command ended tells nothing where the pod has begun.

    :param blocks: reads the list as it is stored, compressed.
    :param before_each: called before each try; what it raises goes to the caller.
    :raises ExactPodError: if the pod does not take it: it is not the list of its seal.
    :raises ClusterError: if it could not be handed over in time.
    """
    deadline = time.monotonic() + HAND_OVER_PATIENCE_SECONDS
    follower = Follower(cluster, uid, lambda event: None)

    def waits() -> bool:
        return follower.look() is None and follower.begun is None

    while waits():
        before_each()
        try:
            _feed(cluster, blocks())
        except (ClusterError, ExactPodError) as error:
            refused = isinstance(error, ExactPodError) and waits()
            if refused or time.monotonic() > deadline:
                raise
            log.warning("The list could not be handed over; trying again: %s", error)
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _feed(cluster: Cluster, blocks: Iterable[bytes]) -> None:
    command = (*PROGRAM, "receive", *WORK_FOLDER_OPTION)
    end, printed = feed_pod(cluster, EXACT_DELETE_POD, command, blocks, limit_seconds=HAND_OVER_SECONDS)
    if end.exit_status is None or end.exit_status > _KILLED:
        raise ClusterError(f"Pod {EXACT_DELETE_POD} did not say that it took its list: {end.how}")
    if end.exit_status != 0:
        raise ExactPodError(f"Pod {EXACT_DELETE_POD} did not take its list: {end.how}: {printed}")
