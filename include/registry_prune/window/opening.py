"""The read-only window: arm it, open it, begin a delete in it. ``closing.py`` closes it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import (
    Opening,
    PodState,
    RegistryState,
    Settled,
    unsettled,
)
from include.registry_prune.cluster.settling import NotSettledError, wait_until_settled
from include.registry_prune.pruner.processes import living_pruners
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import (
    change_config,
    held_lease,
    lease_patch,
    read_lease,
    require_own_lease,
)
from include.registry_prune.window.lease import (
    DeleteAttempt,
    Earlier,
    Lease,
    LeaseError,
    attempt_name,
    check_may_arm,
)

log = logging.getLogger(__name__)


def arm(
    cluster: Cluster, *, holder: str, run_url: str, lasts: timedelta, binding_ours: bool, limits: ClosingLimits
) -> Lease:
    """Write the lease, then suspend the ImagePruner. Nothing else is changed; calling it again is safe.

    The window of a run that is gone (its lease has expired) is closed first, as the guard would close it.

    :param holder: ``dag_id/run_id`` of this run.
    :param lasts: after this time the lease may be taken away unless it is renewed.
    :param binding_ours: the role binding is taken away with the window if this run cannot do it.
    :param limits: for the closing of a dead run's window.
    :raises LeaseError: if another run holds the window, or somebody else made the registry read-only.
    """
    dead = check_may_arm_now(cluster.config(), holder=holder)
    if dead is not None:
        log.warning("The lease of %s ran out at %s: its window is closed now", dead.holder, dead.expires_at)
        close_window(cluster, holder=dead.holder, limits=limits)
    pruner = cluster.image_pruner()
    now = datetime.now(UTC)
    lease = Lease(
        holder=holder,
        run_url=run_url,
        armed_at=now,
        expires_at=now + lasts,
        image_pruner_suspended_before=None if pruner is None else bool(pruner["spec"].get("suspend")),
        binding_ours=binding_ours,
    )

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal lease
        if check_may_arm_now(config, holder=holder) is not None:
            raise ClusterError("Config cluster: another run's lease came in between: try again", 409)
        held = held_lease(config)
        if held is None:
            return lease_patch(lease)
        lease = held
        return None

    if change_config(cluster, decide):
        log.info("Lease written for %s, until %s", holder, lease.expires_at.isoformat(timespec="seconds"))
    if pruner is not None and not pruner["spec"].get("suspend"):
        cluster.suspend_image_pruner(True)
        log.info("ImagePruner cluster: suspended for the window")
        _take_back_unless_held(cluster, lease)
    return lease


def _take_back_unless_held(cluster: Cluster, lease: Lease) -> None:
    """Whoever closed the window between its lease and this may have found nothing to set back."""
    held = read_lease(cluster)
    if lease.of_same_window(held):
        return
    if held is None:
        cluster.suspend_image_pruner(False)
        log.warning("ImagePruner cluster: spec.suspend is set back to False")
    raise LeaseError(f"The lease of {lease.holder} was taken away right after it was written: nothing is opened")


def check_may_arm_now(config: dict[str, Any], *, holder: str) -> Lease | None:
    """Whether a run may open a window now; see :func:`lease.check_may_arm`.

    :param config: the Config CR.
    """
    return check_may_arm(
        held_lease(config), holder=holder, read_only=bool(config["spec"].get("readOnly")), now=datetime.now(UTC)
    )


def open_window(
    cluster: Cluster, *, holder: str, limit_seconds: float, opened: Callable[[Opening], object] = lambda opening: None
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
            raise LeaseError(f"The window of {holder} is being closed, so it is not opened any more")
        if not config["spec"].get("readOnly"):
            return lease_patch(lease.opened(now), readOnly=True)
        # Both are written by one patch: without the one, the other is not from here.
        if lease.opened_at is None:
            raise LeaseError(
                "Config cluster: somebody else set spec.readOnly to true after this run had written its lease. The "
                "registry is left alone: neither pruned nor set back"
            )
        earlier = Opening(opened_at=lease.opened_at, config_generation=config["metadata"]["generation"])
        return None

    written = change_config(cluster, decide)
    if written:
        log.info("Config cluster: spec.readOnly is set to true; the registry's pods are replaced")
        opened(Opening(opened_at=now, config_generation=written["metadata"]["generation"]))
    elif earlier is not None:
        opened(earlier)
    return wait_until_settled(cluster, read_only=True, limit_seconds=limit_seconds)


def begin_attempt(
    cluster: Cluster,
    *,
    holder: str,
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
            raise LeaseError(f"The window of {holder} is being closed, so nothing is deleted")
        if lease.attempt is not None and lease.attempt != previous:
            begun = lease.attempt
            return None
        number = previous.number + 1 if previous else 1
        begun = DeleteAttempt(
            number=number,
            name=attempt_name(holder, lease.armed_at, number),
            pod=pod.name,
            pod_uid=pod.uid,
            begun_at=datetime.now(UTC),
            earlier=earlier or Earlier(),
        )
        return lease_patch(lease.attempting(begun))

    change_config(cluster, decide)
    assert begun is not None
    return begun


def require_open_window(cluster: Cluster, *, holder: str) -> tuple[Lease, RegistryState]:
    """This run's lease and the registry, if the window is open and no pod takes pushes; it need not be settled.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or the window is being closed.
    """
    lease = require_own_lease(cluster.config(), holder)
    if lease.closing_since is not None:
        raise NotSettledError("The window of this run is being closed, so nothing is deleted")
    state = cluster.registry_state()
    if not state.read_only:
        raise NotSettledError("Config cluster: somebody has set spec.readOnly to false, so nothing is deleted")
    pushes = [f"pod {pod.name}: still read-write" for pod in state.pods if not pod.read_only and not pod.left_over]
    if pushes:
        raise NotSettledError(f"The registry takes pushes, so nothing is deleted: {'; '.join(pushes)}")
    return lease, state


def require_settled_read_only(cluster: Cluster, *, holder: str) -> RegistryState:
    """The look right before a pruner is started: the window is open, every pod read-only, no other pruner at work.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or a pruner is at work already.
    """
    _, state = require_open_window(cluster, holder=holder)
    reasons = unsettled(state, read_only=True)
    if reasons:
        raise NotSettledError(f"The registry is not settled read-only, so nothing is deleted: {'; '.join(reasons)}")
    others = living_pruners(cluster, state)
    if others:
        raise NotSettledError(f"A pruner is at work already, so no second one is started: {'; '.join(others)}")
    return state
