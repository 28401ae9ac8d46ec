"""The guard: closes a window whose run is gone, in the same way as the run would have."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.pod_exec import in_each_pod
from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.names import EXACT_DELETE_POD, TAKE_PUSHES_COMMAND
from include.registry_prune.pruner.exact_delete_pod import DELETE, end_exact_pod, exact_pod, release_name
from include.registry_prune.pruner.process_scripts import EVERY_DELETE_OF_OURS
from include.registry_prune.pruner.processes import PrunerLivesError, end_in_pod
from include.registry_prune.units import format_seconds
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import held_lease
from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.lease import Holder, Lease

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5


def why_dead(lease: Lease, *, read_only: bool, now: datetime, run_is_over: Callable[[Holder], bool]) -> str | None:
    """Why the window of this lease has to be closed by somebody else; None if its run still works (pure).

    :param read_only: ``spec.readOnly`` of the same moment. One patch opens the window, and whoever closes it says so in
        the lease before ``readOnly`` is set back: in between it is false only if somebody else has done it, and a
        delete may be at work that nobody follows.
    :param run_is_over: whether the run of a holder is known to have ended.
    """
    if lease.opened_at is not None and lease.closing_since is None and not read_only:
        return "somebody has set spec.readOnly of Config cluster to false while it was open"
    if lease.expired(now):
        return lease.end_text(now)
    if run_is_over(lease.owner):
        return "its run is over"
    return None


def guard(
    cluster: Cluster,
    *,
    limits: ClosingLimits,
    run_is_over: Callable[[Holder], bool],
    needs_role: Callable[[Holder], bool] = lambda holder: False,
    warning: timedelta = timedelta(0),
) -> GuardRound:
    """Look at a cluster, and close a window whose run is gone.

    A registry that is read-only without a lease is somebody else's: it is reported, never touched.

    :param needs_role: whether another run than the holder's may have taken the role binding over; it stays then, and
        goes with that run.
    :param warning: so long before a window must end, somebody should have begun to close it.
    :raises LeaseError: if the lease is unreadable.
    :raises PrunerLivesError, NotSettledError: as :func:`closing.close_window`; the next round goes on.
    """
    config = cluster.config()
    lease = held_lease(config)
    if lease is None:
        return _without_lease(cluster, limits)
    read_only = bool(config["spec"].get("readOnly"))
    now = datetime.now(UTC)
    dead = why_dead(lease, read_only=read_only, now=now, run_is_over=run_is_over)
    if dead is None:
        return _at_work(lease, late=lease.overdue(now + warning))
    log.warning("The guard closes the window of %s: %s", lease.holder, dead)
    if needs_role(lease.owner):
        limits = replace(limits, revokes_role=False)
    settled = close_window(cluster, holder=lease.owner, limits=limits)
    if settled is None:
        return GuardRound(
            found=Found.NOTHING, message=f"the window of {lease.holder} was closed meanwhile", read_only=False
        )
    was_open = (
        f"The registry takes pushes again; it was read-only for {format_seconds(settled.read_only_seconds)}."
        if settled.read_only_seconds
        else "The window had been armed and was never opened: its run did not make the registry read-only."
    )
    message = f"The guard closed the window of {lease.holder}: {dead}. {was_open}"
    return GuardRound(
        found=Found.CLOSED,
        message=message,
        read_only_seconds=settled.read_only_seconds,
        read_only=False,
        closed_run=lease.holder,
    )


def guard_to_the_end(
    look: Callable[[], GuardRound],
    *,
    warning: timedelta,
    within: timedelta,
    warned: Callable[[GuardRound], object],
) -> GuardRound:
    """Rounds of the guard until no window has to end before the next one comes: so it is closed on time, to the second.

    :param look: one round.
    :param warning: so long before its end ``warned`` is told, once, of a window that nobody has begun to close.
    :param within: when the next one comes.
    :return: the last round.
    """
    comes = datetime.now(UTC) + within
    told = False
    while True:
        seen = look()
        if seen.found is Found.LATE and not told:
            told = True
            warned(seen)
        end = seen.must_end_by
        if end is None or end - warning > comes:
            return seen
        log.info("%s; looked at again then", seen.message)
        due = end if seen.found is Found.LATE else end - warning
        time.sleep(max((due - datetime.now(UTC)).total_seconds(), _PAUSE_SECONDS))


def _at_work(lease: Lease, *, late: bool) -> GuardRound:
    at_work = f"{lease.holder} is at work {lease.run_url}".rstrip()
    seen = GuardRound(
        found=Found.AT_WORK,
        message=at_work,
        holder=lease.holder,
        read_only=lease.opened_at is not None,
        read_only_since=lease.opened_at,
    )
    if lease.must_end_by is None or lease.closing_since is not None:
        return seen
    end = f"{lease.must_end_by:%Y-%m-%d %H:%M:%S %Z}"
    if not late:
        message = f"{at_work}; its window ends by {end}"
        return seen.model_copy(update={"message": message, "must_end_by": lease.must_end_by})
    message = (
        f"The read-only window must end by {end}, and nobody has begun to close it: {at_work}. The guard closes it "
        "then: it ends the delete, and pushes are taken again after the rollout. Nothing has to be done; see why the "
        "run is late."
    )
    return seen.model_copy(update={"found": Found.LATE, "message": message, "must_end_by": lease.must_end_by})


def _without_lease(cluster: Cluster, limits: ClosingLimits) -> GuardRound:
    state = cluster.registry_state()
    if not state.read_only:
        pods = _end_own_deletes(cluster, state, limits)
        if pods:
            return GuardRound(
                found=Found.DELETE_ENDED,
                message=f"The guard ended a delete of this project in pod {', '.join(pods)}: somebody had removed its "
                "lease and set the registry read-write, so it worked beside pushes. Images that were pushed meanwhile "
                "may be torn: push them again. Let a run with integrity_check say which are broken.",
                read_only=False,
            )
        return GuardRound(found=Found.NOTHING, message="the registry takes pushes", read_only=False)
    created = [pod.created_at for pod in state.pods if pod.read_only and pod.created_at is not None]
    age = (datetime.now(UTC) - min(created)).total_seconds() if created else 0.0
    return GuardRound(
        found=Found.UNEXPLAINED,
        message=f"The registry has been read-only for at least {format_seconds(age)}, and no lease of this project "
        "says why: pushes and builds fail. Somebody set spec.readOnly of Config cluster, and the guard leaves it "
        f"alone. When the reason is gone: {TAKE_PUSHES_COMMAND}",
        read_only_seconds=age,
        read_only=True,
        read_only_since=min(created, default=None),
    )


def _end_own_deletes(cluster: Cluster, state: RegistryState, limits: ClosingLimits) -> list[str]:
    """End the deletes that this project left in a registry that takes pushes; names of the pods in which one lived.

    A pod that cannot be looked into is looked into by the next round.
    """

    def end(pod: PodState) -> str:
        try:
            ended = end_in_pod(cluster, pod.name, EVERY_DELETE_OF_OURS, stop_seconds=limits.stop_seconds)
        except ClusterError as error:
            log.warning("Pod %s could not be searched for a delete that was left behind: %s", pod.name, error)
            return ""
        return pod.name if ended else ""

    return [name for name in (*in_each_pod(state.running_pods(), end), _end_exact_delete(cluster)) if name]


def _end_exact_delete(cluster: Cluster) -> str:
    """End an exact delete that was left beside pushes, and take away a placeholder that was left behind."""
    try:
        pod = exact_pod(cluster)
        if pod is not None and pod.purpose == DELETE:
            end_exact_pod(cluster, pod)
            return EXACT_DELETE_POD
        release_name(cluster)
    except (ClusterError, PrunerLivesError) as error:
        log.warning("A pod of the exact delete may be left behind: %s", error)
    return ""
