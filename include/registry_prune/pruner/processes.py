"""Whether a pruner lives in a registry pod, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.cluster.pod_exec import in_each_pod, run_in_pod
from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.pruner.process_scripts import EVERY_PRUNER, FIND_COMMAND, Ending, Processes

log = logging.getLogger(__name__)

DELETED_POD_SECONDS = 120.0
"""How long a deleted pod may take to be gone: its grace, and a kubelet that is busy."""
SILENT_POD_SECONDS = 20.0
"""The same, where it could not be looked into and has not been ready for a minute: its node does not answer, so that
the object stays, and somebody has to be told soon."""
PRUNER_GRACE_SECONDS = 1
"""Grace of a pod that is deleted because a pruner may live in it: its own is 55 s, 25 of them before anything in it is
told to end. Never 0: that takes the pod's object away at once, whatever still runs on the node."""
_LOOK_SECONDS = 30.0
_POLL_SECONDS = 0.5


class PrunerLivesError(Exception):
    """It could not be made sure that no pruner lives; the message names the pods."""


def _find(cluster: Cluster, pod: PodState) -> dict[int, str]:
    """Process id and command line of every pruner in a pod.

    :raises ClusterError: if the pod could not be looked into.
    """
    found: dict[int, str] = {}

    def take(stream: Stream, line: str) -> None:
        pid, _, command = line.partition(" ")
        if stream is Stream.STDOUT and pid.isdigit():
            found[int(pid)] = command.strip()

    end = run_in_pod(cluster, pod.name, FIND_COMMAND, take, limit_seconds=_LOOK_SECONDS)
    if end.exit_status != 0:
        raise ClusterError(f"pod {pod.name} could not be searched for a pruner: {end.how}")
    return found


def living_pruners(cluster: Cluster, state: RegistryState) -> list[str]:
    """The pruners in every pod of ``state``, in words.

    :raises ClusterError: if a pod that is still there could not be looked into.
    """

    def look(pod: PodState) -> list[str]:
        try:
            return [f"pod {pod.name}: process {pid}: {line}" for pid, line in _find(cluster, pod).items()]
        except ClusterError:
            if _is_gone(cluster, pod):
                return []
            raise

    return [line for lines in in_each_pod(state.running_pods(), look) for line in lines]


def _is_gone(cluster: Cluster, pod: PodState) -> bool:
    return _now(cluster, pod) is None


def _now(cluster: Cluster, pod: PodState) -> PodState | None:
    """The pod as it is now; None if it is gone."""
    return next((each for each in cluster.registry_state().running_pods() if each.uid == pod.uid), None)


def end_pruners(
    cluster: Cluster, *, stop_seconds: float, may_delete_in: Callable[[PodState], bool] = lambda pod: True
) -> int:
    """Make sure that no pruner lives in any registry pod, and that no delete of ours starts in them any more.

    Each is asked to stop (SIGTERM: it ends between two blobs), killed after ``stop_seconds``, and where even that or
    the look into the pod fails, the pod is deleted.

    :param may_delete_in: whether a delete may live in a pod that cannot be looked into: only such a pod has to be gone.
        One of a lost node in which none was begun must not keep the registry closed.
    :return: how many processes were ended: pruners, and the shells that look after them.
    :raises ClusterError: if a pod in which a delete may live could not be asked anything: nothing is known of it then.
    :raises PrunerLivesError: if such a pod was deleted, and is not seen gone.
    """

    def end(pod: PodState) -> int | Exception:
        try:
            return end_in_pod(cluster, pod.name, EVERY_PRUNER, stop_seconds=stop_seconds)
        except ClusterError as error:
            try:
                return _end_with_pod(cluster, pod, error, has_to_be_gone=may_delete_in(pod))
            except (ClusterError, PrunerLivesError) as problem:
                return problem

    ends = in_each_pod(cluster.registry_state().running_pods(), end)
    problems = [each for each in ends if isinstance(each, Exception)]
    # A pod of which nothing is known counts for more than one that was deleted: only the latter may be given up.
    for problem in sorted(problems, key=lambda each: isinstance(each, PrunerLivesError)):
        raise problem
    return sum(each for each in ends if isinstance(each, int))


def _end_with_pod(cluster: Cluster, pod: PodState, why: ClusterError, *, has_to_be_gone: bool) -> int:
    """Delete a pod that could not be searched, and see to it that it is gone where it has to be."""
    if _is_gone(cluster, pod):
        return 0
    log.warning("Deleting pod %s, because a pruner may still live in it: %s", pod.name, why)
    try:
        cluster.delete_pod(pod.name, uid=pod.uid, grace_seconds=PRUNER_GRACE_SECONDS)
    except ClusterError:
        if has_to_be_gone:
            raise
        log.warning("Pod %s could not be deleted; no delete was begun in it", pod.name)
    if has_to_be_gone:
        _wait_until_gone(cluster, pod)
    return 0


def end_in_pod(cluster: Cluster, pod: str, which: Processes, *, stop_seconds: float) -> int:
    """End processes in one pod.

    :return: how many were ended.
    :raises ClusterError: if it is not known that none lives any more.
    """
    ending = Ending(which, pod, stop_seconds)
    return ending.ended(run_in_pod(cluster, pod, ending.command, ending.take, limit_seconds=ending.limit_seconds))


def _wait_until_gone(cluster: Cluster, pod: PodState) -> None:
    began = time.monotonic()
    while (now := _now(cluster, pod)) is not None:
        limit = min(SILENT_POD_SECONDS, DELETED_POD_SECONDS) if now.silent() else DELETED_POD_SECONDS
        if time.monotonic() - began > limit:
            raise PrunerLivesError(
                f"Pod {pod.name} could neither be searched for a pruner nor deleted within {limit:.0f} s. The registry "
                "stays read-only until somebody knows that no pruner lives there: look at the pod's node."
            )
        time.sleep(_POLL_SECONDS)
