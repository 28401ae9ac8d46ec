"""What the small image is asked to do outside of a delete: look at the storage, put back, remove what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.exact_delete.events import Begun, Event, Kept, Note
from include.registry_prune.exact_pod.hand_over import hand_over
from include.registry_prune.exact_pod.pod import (
    START_SECONDS,
    ExactPodError,
    Follower,
    PodEnd,
    clear_away,
    make_pod,
    show_note,
    wait_until_running,
)
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.pruner.exact_delete_pod import DELETE, end_exact_pod, exact_pod
from include.registry_prune.window.in_the_way import require_clear_way

log = logging.getLogger(__name__)


class Done(NamedTuple):
    """What became of an errand.

    :param kept: what all deletes have kept, as a look tells it.
    """

    end: PodEnd
    begun: Begun | None
    kept: tuple[Kept, ...]


def run_errand(
    cluster: Cluster,
    purpose: Literal["look", "undo", "remove"],
    *,
    image: str,
    window: str,
    limit_seconds: float,
    kept_as: str = "",
    seal: Seal | None = None,
    blocks: Callable[[], Iterable[bytes]] = tuple,
) -> Done:
    """Have a pod of its own do one thing, to its end; the pod is gone afterwards.

    The caller has seen that nothing else is in the way.

    :param image: the small image.
    :param window: whose errand it is: token of a window, or of a run.
    :param limit_seconds: for the work; Kubernetes ends the pod then, whoever watches it.
    :param kept_as: folder of what is kept.
    :param seal: of the list, if the errand has one; ``blocks``: reads the list as it is stored.
    :raises ExactPodError: if it could not be made, or did not get to work.
    :raises PrunerLivesError: if the pod cannot be seen gone.
    :raises ClusterError: if the cluster does not answer, or refuses.
    """
    kept: list[Kept] = []

    def take(event: Event) -> None:
        if isinstance(event, Kept):
            kept.append(event)
        elif isinstance(event, Note):
            show_note(event)

    uid = make_pod(
        cluster,
        image=image,
        purpose=purpose,
        window=window,
        kept_as=kept_as,
        seal=seal,
        deadline_seconds=START_SECONDS + limit_seconds,
    )
    try:
        wait_until_running(cluster, uid, limit_seconds=START_SECONDS)
        if seal is not None:
            hand_over(cluster, uid, blocks)
        follower = Follower(cluster, uid, take)
        end = follower.follow(limit_seconds=START_SECONDS + limit_seconds)
        if end is None:
            raise ExactPodError(f"The pod's {purpose} has not ended in time, and is ended. Another try goes on.")
        return Done(end, follower.begun, tuple(kept))
    finally:
        clear_away(cluster, uid)


def end_leftover(cluster: Cluster, window: str) -> None:
    """End the pod of an earlier try of this errand, which would be in the way of this one.

    :param window: whose errand it was.
    :raises PrunerLivesError: if it cannot be seen gone.
    :raises ClusterError: if the cluster does not answer.
    """
    found = exact_pod(cluster)
    if found is not None and found.purpose != DELETE and found.window == window:
        end_exact_pod(cluster, found)


def make_way(cluster: Cluster, run: str) -> None:
    """Before an errand outside of a window: end what an earlier try left, and see that nothing else is in the way.

    :param run: whose errand it is.
    :raises InTheWayError: if something is in the way.
    :raises PrunerLivesError: if the pod of an earlier try cannot be seen gone.
    :raises ClusterError: if the cluster does not answer.
    """
    end_leftover(cluster, run)
    require_clear_way(cluster)
