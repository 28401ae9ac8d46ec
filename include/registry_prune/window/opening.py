"""The read-only window: arm it, open it, begin a delete in it. ``closing.py`` closes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.cluster.cluster import Cluster, suspended_by
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import (
    Opening,
    PodState,
    RegistryState,
    Settled,
    unsettled,
)
from include.registry_prune.cluster.settling import OPERATOR_SECONDS, NotSettledError, wait_until_settled
from include.registry_prune.names import NAMESPACE
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import (
    change_config,
    closed_windows,
    held_lease,
    lease_patch,
    read_lease,
    remove_lease,
    require_own_lease,
)
from include.registry_prune.window.in_the_way import require_clear_way
from include.registry_prune.window.lease import (
    DeleteAttempt,
    Earlier,
    Holder,
    Lease,
    LeaseError,
    attempt_name,
    check_may_arm,
)

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


def arm(
    cluster: Cluster,
    *,
    holder: Holder,
    run_url: str,
    lasts: timedelta,
    must_end_by: datetime,
    binding_ours: bool,
    limits: ClosingLimits,
) -> Lease:
    """Write the lease, then suspend the ImagePruner. Nothing else is changed; calling it again is safe.

    The window of a run that is gone (its lease has expired) is closed first, as the guard would close it.

    :param holder: this run's window, which is opened once.
    :param lasts: after this time the lease may be taken away unless it is renewed.
    :param must_end_by: when the registry has to take pushes again, however the run goes.
    :param binding_ours: the role binding is taken away with the window if this run cannot do it.
    :param limits: for the closing of a dead run's window.
    :raises LeaseError: if another run holds the window, or somebody else made the registry read-only.
    """
    dead = check_may_arm_now(cluster.config(), holder=holder)
    if dead is not None:
        log.warning("Closing the window of %s first: %s", dead.holder, dead.end_text(datetime.now(UTC)))
        close_window(cluster, holder=dead.owner, limits=limits)
    pruner = cluster.image_pruner()
    suspended = pruner is not None and bool(pruner["spec"].get("suspend"))
    # A window that is gone may have left it suspended: that was not how somebody wants it.
    suspends = pruner is not None and (not suspended or suspended_by(pruner) is not None)
    now = datetime.now(UTC)
    lease = Lease(
        holder=holder.run,
        token=holder.token,
        cluster_id=cluster.cluster_id(),
        run_url=run_url,
        armed_at=now,
        expires_at=now + lasts,
        must_end_by=must_end_by,
        image_pruner_suspended_before=None if pruner is None else not suspends,
        binding_ours=binding_ours,
    )

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal lease
        if check_may_arm_now(config, holder=holder) is not None:
            raise ClusterError("Config cluster: another run wrote its lease at the same moment. Try again", 409)
        held = held_lease(config)
        if held is None:
            return lease_patch(lease)
        lease = held
        return None

    if change_config(cluster, decide):
        end = must_end_by.isoformat(timespec="seconds")
        log.info("Lease written for %s; the registry takes pushes again by %s", holder.text(), end)
    if suspends:
        cluster.suspend_image_pruner(True, window=lease.token)
        log.info("ImagePruner cluster: suspended for the window")
        _take_back_unless_held(cluster, lease)
        _require_operator(cluster, lease)
    return lease


def _require_operator(cluster: Cluster, lease: Lease) -> None:
    """Wait until the operator has seen the ImagePruner's suspension: only an operator that works carries readOnly on to
    the pods, and back again. Else everything is put back, and nothing is opened.

    :raises LeaseError: if it has not after :data:`settling.OPERATOR_SECONDS`.
    """
    deadline = time.monotonic() + OPERATOR_SECONDS
    while time.monotonic() < deadline:
        pruner = cluster.image_pruner()
        if pruner is None or _seen(pruner):
            return
        time.sleep(_POLL_SECONDS)
    remove_lease(cluster, lease)
    cluster.suspend_image_pruner(False)
    raise LeaseError(
        "The registry's operator does not answer: ImagePruner cluster took spec.suspend: true "
        f"{OPERATOR_SECONDS:.0f} s ago, and the operator has not looked at it. This run put everything back and opens "
        f"no window. Look at Deployment cluster-image-registry-operator in namespace {NAMESPACE}, and at its log."
    )


def _seen(resource: Mapping[str, Any]) -> bool:
    """Whether the operator has seen the last change of a resource."""
    observed = (resource.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= resource["metadata"].get("generation", 0))


def _take_back_unless_held(cluster: Cluster, lease: Lease) -> None:
    """Whoever closed the window between its lease and this may have found nothing to set back."""
    held = read_lease(cluster)
    if held is not None and held.held_by(lease.owner):
        return
    if held is None:
        cluster.suspend_image_pruner(False)
        log.warning("ImagePruner cluster: set spec.suspend back to False")
    raise LeaseError(
        f"Somebody removed the lease of {lease.holder} right after it was written: this run opens no window"
    )


def check_may_arm_now(config: dict[str, Any], *, holder: Holder) -> Lease | None:
    """Whether a run may open a window now; see :func:`lease.check_may_arm`.

    :param config: the Config CR.
    """
    return check_may_arm(
        held_lease(config),
        holder=holder,
        closed=closed_windows(config),
        read_only=bool(config["spec"].get("readOnly")),
        now=datetime.now(UTC),
    )


def open_window(
    cluster: Cluster,
    *,
    holder: Holder,
    limit_seconds: float,
    opened: Callable[[Opening], object] = lambda opening: None,
) -> Settled:
    """Patch ``readOnly: true`` and wait until no pod takes pushes any more. Calling it again is safe.

    :param opened: told what the patch made, before the wait; also by a second try, whose first one made it.
    :raises LeaseError: if this run does not hold the lease, its window is being closed, or somebody else made the
        registry read-only meanwhile.
    :raises NotSettledError: if some pod still takes pushes after ``limit_seconds``.
    """
    now = datetime.now(UTC)
    earlier: Opening | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal earlier
        lease = require_own_lease(config, holder)
        if lease.closing_since is not None:
            raise LeaseError(f"Somebody is closing the window of {holder.text()}, so this run does not open it")
        if not config["spec"].get("readOnly"):
            return lease_patch(lease.opened(now), readOnly=True)
        # Both are written by one patch: without the one, the other is not from here.
        if lease.opened_at is None:
            raise LeaseError(
                "Config cluster: somebody else set spec.readOnly to true after this run had written its lease. This "
                "run leaves the registry alone: it neither prunes it nor sets it back"
            )
        earlier = Opening(opened_at=lease.opened_at, config_generation=config["metadata"]["generation"])
        return None

    written = change_config(cluster, decide)
    if written:
        log.info("Config cluster: set spec.readOnly to true; the operator now replaces the registry's pods")
        opened(Opening(opened_at=now, config_generation=written["metadata"]["generation"]))
    elif earlier is not None:
        opened(earlier)
    return wait_until_settled(cluster, read_only=True, limit_seconds=limit_seconds)


def begin_attempt(
    cluster: Cluster,
    *,
    holder: Holder,
    pod: PodState,
    previous: DeleteAttempt | None = None,
    earlier: Earlier | None = None,
) -> DeleteAttempt:
    """Note in the lease that a delete begins now in this pod. After this, closing the window takes no pod's silence
    for an answer.

    :param previous: the last attempt as the caller knows it. If another one is there, somebody else has begun it
        meanwhile, and nothing is changed.
    :param earlier: what the attempts so far did.
    :return: the attempt to start and to follow: the new one, or the one that somebody else has begun.
    :raises LeaseError: if this run does not hold the lease, or the window is being closed already.
    """
    begun: DeleteAttempt | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal begun
        lease = require_own_lease(config, holder)
        if lease.closing_since is not None:
            raise LeaseError(f"Somebody is closing the window of {holder.text()}, so this run deletes nothing")
        if lease.attempt is not None and lease.attempt != previous:
            begun = lease.attempt
            return None
        number = previous.number + 1 if previous else 1
        begun = DeleteAttempt(
            number=number,
            name=attempt_name(lease.token, number),
            pod=pod.name,
            pod_uid=pod.uid,
            begun_at=datetime.now(UTC),
            earlier=earlier or Earlier(),
        )
        return lease_patch(lease.attempting(begun))

    change_config(cluster, decide)
    assert begun is not None
    return begun


def begin_by_list(cluster: Cluster, *, holder: Holder) -> None:
    """Note in the lease that the pod of a delete by the list may be made now: whoever closes the window ends it first.

    :raises LeaseError: if this run does not hold the lease, or the window is being closed already.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        if lease.closing_since is not None:
            raise LeaseError(f"Somebody is closing the window of {holder.text()}, so this run deletes nothing")
        noted = lease.deleting_by_list(datetime.now(UTC))
        return None if noted == lease else lease_patch(noted)

    change_config(cluster, decide)


def require_open_window(cluster: Cluster, *, holder: Holder) -> tuple[Lease, RegistryState]:
    """This run's lease and the registry, if the window is open and no pod takes pushes; it need not be settled.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or the window is being closed.
    """
    lease = require_own_lease(cluster.config(), holder)
    if lease.closing_since is not None:
        raise NotSettledError("Somebody is closing the window of this run, so the run deletes nothing")
    state = cluster.registry_state()
    if not state.read_only:
        raise NotSettledError("Config cluster: somebody set spec.readOnly to false, so this run deletes nothing")
    pushes = [f"pod {pod.name}: still read-write" for pod in state.pods if not pod.read_only and not pod.left_over]
    if pushes:
        raise NotSettledError(f"The registry takes pushes, so this run deletes nothing: {'; '.join(pushes)}")
    return lease, state


def require_settled_read_only(cluster: Cluster, *, holder: Holder) -> RegistryState:
    """The look right before a pruner is started: the window is open, every pod read-only, no other pruner at work.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes.
    :raises InTheWayError: if a pruner is at work already.
    """
    _, state = require_open_window(cluster, holder=holder)
    reasons = unsettled(state, read_only=True)
    if reasons:
        raise NotSettledError(
            f"The registry is not settled read-only, so this run deletes nothing: {'; '.join(reasons)}"
        )
    require_clear_way(cluster, own=holder)
    return state
