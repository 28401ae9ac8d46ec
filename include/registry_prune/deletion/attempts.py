"""Which attempt of the delete there is to follow: the one that the lease names, or the next. Never two at once.

The lease on the Config CR is the one place where an attempt begins: it names the pod before anything is started there.
Whoever comes later goes to that pod, and starts the very same attempt there, which only one can do. The next is begun
only when the one before is known to be over.
"""

from __future__ import annotations

import logging
import time

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd
from include.registry_prune.cluster.pod_exec import run_in_pod
from include.registry_prune.cluster.registry_state import PodState, RegistryState, unsettled
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.deletion.detached_delete import NO_ROOM_STATUS, start_command
from include.registry_prune.pruner.checks import choose_pod
from include.registry_prune.window.in_the_way import require_clear_way
from include.registry_prune.window.lease import DeleteAttempt, Earlier, Holder
from include.registry_prune.window.opening import begin_attempt, require_open_window

log = logging.getLogger(__name__)

START_SECONDS = 10.0
START_PATIENCE_SECONDS = 60.0
"""How long a start whose answer got lost is repeated; it starts nothing twice."""
_RETRY_SECONDS = 0.5


class NotStartedError(Exception):
    """The delete could not be started; the message says why and what to do."""


def find_or_begin(
    cluster: Cluster,
    *,
    holder: Holder,
    over: DeleteAttempt | None = None,
    earlier: Earlier | None = None,
    attempts: int,
    log_bytes: int,
    settle_seconds: float,
) -> DeleteAttempt:
    """The attempt to follow; it has been started.

    :param over: an attempt that is known to be over.
    :param earlier: what it, and those before it, did.
    :param attempts: at most this many are begun in one window.
    :param log_bytes: how much the log of an attempt may take in its pod.
    :param settle_seconds: how long the registry may take to be whole before an attempt is begun. One that is there is
        followed in any case: a pod that is not ready takes no pushes.
    :raises LeaseError: if this run does not hold the window, or it is being closed.
    :raises NotSettledError: if a pod takes pushes.
    :raises InTheWayError: if another pruner is at work.
    :raises NotStartedError: if it was interrupted too often, or no folder of the pod has room.
    """
    while True:
        lease, state = require_open_window(cluster, holder=holder)
        attempt = lease.attempt
        if attempt is not None and attempt != over:
            require_clear_way(cluster, own=holder, own_attempt=attempt)
        elif unsettled(state, read_only=True):
            wait_until_settled(cluster, read_only=True, limit_seconds=settle_seconds)
            continue
        else:
            require_clear_way(cluster, own=holder)
        if attempt is None or attempt == over:
            if attempt is not None and attempt.number >= attempts:
                raise NotStartedError(
                    f"The delete was interrupted as often as the setting delete_attempts ({attempts}) allows, the "
                    f"last time in pod {attempt.pod}. Find out why the registry's pods end; another run goes on from "
                    "there."
                )
            attempt = begin_attempt(cluster, holder=holder, previous=attempt, earlier=earlier, pod=_choose_pod(state))
        if _start(cluster, attempt, holder=holder, log_bytes=log_bytes):
            return attempt
        # What it did in a pod that is gone, before anybody looked, nobody knows.
        over, earlier = attempt, attempt.earlier.model_copy(update={"list_complete": False})


def _choose_pod(state: RegistryState) -> PodState:
    name = choose_pod(state)
    return next(pod for pod in state.pods if pod.name == name)


def _start(cluster: Cluster, attempt: DeleteAttempt, *, holder: Holder, log_bytes: int) -> bool:
    """Start the attempt in its pod, or find it there; False if the pod is gone.

    :raises NotStartedError: if the pod has no room, or does not answer.
    """
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    what = f"attempt {attempt.number} of the delete in pod {attempt.pod}"
    while True:
        end, said = _try_to_start(cluster, attempt, start_command(attempt.name, holder.text(), log_bytes))
        if end.exit_status == 0:
            log.info("dockerregistry -prune=delete, %s: %s", what, said)
            return True
        if end.exit_status == NO_ROOM_STATUS:
            raise NotStartedError(f"{what} could not be started: {said}. Make room there, or lower the setting pod_log")
        if not _is_there(cluster, attempt):
            log.warning("Pod %s was gone before the delete could be started in it", attempt.pod)
            return False
        if time.monotonic() > deadline:
            raise ClusterError(f"The pod did not tell whether {what} was started: {end.how} {said}")
        log.warning("The pod did not tell whether %s was started; trying again: %s %s", what, end.how, said)
        time.sleep(_RETRY_SECONDS)


def _try_to_start(cluster: Cluster, attempt: DeleteAttempt, command: tuple[str, ...]) -> tuple[ExecEnd, str]:
    """How the start ended, and what it printed."""
    said: list[str] = []
    try:
        end = run_in_pod(cluster, attempt.pod, command, lambda _, line: said.append(line), limit_seconds=START_SECONDS)
    except ClusterError as error:
        return ExecEnd(None, str(error)), ""
    return end, "; ".join(said)


def _is_there(cluster: Cluster, attempt: DeleteAttempt) -> bool:
    return any(pod.uid == attempt.pod_uid and not pod.ended for pod in cluster.registry_state().pods)
