"""The read-only window: arm, open, settled, close; the lease.

Whatever closes the window sees to it that no pruner lives before pushes are taken again: a registry that stays closed
is bad, images torn by a delete beside a push are worse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.detached_delete import attempt_name
from include.registry_prune.lease import (
    ANNOTATION,
    DeleteAttempt,
    Earlier,
    Lease,
    LeaseError,
    check_may_arm,
    parse_lease,
)
from include.registry_prune.pod_replacement import replace_pods
from include.registry_prune.pruner_processes import PrunerLivesError, end_pruners, living_pruners
from include.registry_prune.registry_state import (
    Opening,
    PodState,
    RegistryState,
    Settled,
    mode_word,
    unsettled,
)
from include.registry_prune.role import revoke_role
from include.registry_prune.settling import NotSettledError, wait_until_settled
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

MAXIMUM_CONFLICTS = 20


@dataclass(frozen=True)
class ClosingLimits:
    """How long the steps of closing a window may take, in seconds.

    :param settle_seconds: until the registry is settled.
    :param stop_seconds: for a pruner to end when it is asked to.
    :param reopen_anyway_seconds: after so long the registry is reopened although it is not known that no pruner lives.
    :param revokes_role: take the role binding away too; a run does it by a task of its own.
    """

    settle_seconds: float
    stop_seconds: float
    reopen_anyway_seconds: float
    revokes_role: bool = True


def _held_lease(config: dict[str, Any]) -> Lease | None:
    return parse_lease((config["metadata"].get("annotations") or {}).get(ANNOTATION))


def read_lease(cluster: Cluster) -> Lease | None:
    """The lease that is on the Config CR now.

    :raises LeaseError: if the annotation is no lease.
    """
    return _held_lease(cluster.config())


def change_config(cluster: Cluster, decide: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    """Read the Config, decide on a patch, and write it only if nothing has changed in between; else from the start.

    The operator writes its status to the same object, so a conflict is nothing unusual, and another run's lease is
    seen by the next look.

    :param decide: gets the Config; returns the patch, or None to change nothing; may raise.
    :return: the Config as it was written; None if nothing was changed.
    """
    for _ in range(MAXIMUM_CONFLICTS):
        config = cluster.config()
        patch = decide(config)
        if patch is None:
            return None
        try:
            return cluster.patch_config(patch, resource_version=config["metadata"]["resourceVersion"])
        except ClusterError as error:
            if error.status != 409:
                raise
    raise ClusterError(
        f"Config cluster: changed by others {MAXIMUM_CONFLICTS} times in a row while it was written", 409
    )


def lease_patch(lease: Lease, **spec: Any) -> dict[str, Any]:
    patch: dict[str, Any] = {"metadata": {"annotations": {ANNOTATION: lease.to_annotation()}}}
    return {**patch, "spec": spec} if spec else patch


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
    dead = check_may_arm_now(cluster, holder=holder)
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
        if _check(config, holder) is not None:
            raise ClusterError("Config cluster: another run's lease came in between: try again", 409)
        held = _held_lease(config)
        if held is None:
            return lease_patch(lease)
        lease = held
        return None

    if change_config(cluster, decide):
        log.info("Lease written for %s, until %s", holder, lease.expires_at.isoformat(timespec="seconds"))
    if pruner is not None and not pruner["spec"].get("suspend"):
        cluster.suspend_image_pruner(True)
        log.info("ImagePruner cluster: suspended for the window")
    return lease


def _check(config: dict[str, Any], holder: str) -> Lease | None:
    return check_may_arm(
        _held_lease(config), holder=holder, read_only=bool(config["spec"].get("readOnly")), now=datetime.now(UTC)
    )


def check_may_arm_now(cluster: Cluster, *, holder: str) -> Lease | None:
    """Whether a run may open a window now; see :func:`lease.check_may_arm`."""
    return _check(cluster.config(), holder)


def change_own_lease(cluster: Cluster, holder: str, change: Callable[[Lease], Lease]) -> None:
    """Write a change to this run's lease.

    :raises LeaseError: if this run does not hold it.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        changed = change(lease)
        return None if changed == lease else lease_patch(changed)

    change_config(cluster, decide)


def require_own_lease(config: dict[str, Any], holder: str) -> Lease:
    """The lease on this Config CR, if ``holder`` holds it.

    :raises LeaseError: if it does not.
    """
    held = _held_lease(config)
    if held is None or held.holder != holder:
        raise LeaseError(
            f"The lease of {holder} is not on Config cluster (there is: {held.holder if held else 'none'}): "
            "somebody took the window away from this run, so it changes nothing more"
        )
    return held


def open_window(
    cluster: Cluster, *, holder: str, limit_seconds: float, opened: Callable[[Opening], object] = lambda opening: None
) -> Settled:
    """Patch ``readOnly: true`` and wait until no pod takes pushes any more. Calling it again is safe.

    :param opened: told what the patch made, before the wait.
    :raises LeaseError: if this run does not hold the lease, or somebody else made the registry read-only meanwhile.
    :raises NotSettledError: if some pod still takes pushes after ``limit_seconds``.
    """
    now = datetime.now(UTC)

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        if not config["spec"].get("readOnly"):
            return lease_patch(lease.opened(now), readOnly=True)
        # Both are written by one patch: without the one, the other is not from here.
        if lease.opened_at is None:
            raise LeaseError(
                "Config cluster: somebody else set spec.readOnly to true after this run had written its lease. The "
                "registry is left alone: neither pruned nor set back"
            )
        return None

    written = change_config(cluster, decide)
    if written:
        log.info("Config cluster: spec.readOnly is set to true; the registry's pods are replaced")
        opened(Opening(opened_at=now, config_generation=written["metadata"]["generation"]))
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


def close_window(cluster: Cluster, *, holder: str, limits: ClosingLimits) -> Settled | None:
    """End every pruner, put back what the lease says, wait until settled, then take the lease away.

    Calling it again is safe: it goes on from what the cluster shows.

    :return: None if ``holder`` holds no lease: then nothing of its is left to put back.
    :raises PrunerLivesError: if a pruner may still live and the limit to reopen anyway is not reached.
    :raises NotSettledError: if some pod is still read-only after the limit.
    """
    lease = _begin_closing(cluster, holder)
    if lease is None:
        return None
    _end_pruners(cluster, lease, limits)
    read_only = _restore_mode(cluster, lease)
    _restore_image_pruner(cluster, lease)
    settled = wait_until_settled(cluster, read_only=read_only, limit_seconds=limits.settle_seconds)
    if lease.delete_started_at is not None:
        # Its cache still knows the deleted blobs: a push of such a layer would "succeed", and the image could not be
        # pulled. Usually the rollout to read-write has replaced them all; not so if somebody else set readOnly back.
        replace_pods(
            cluster,
            lease.pods_before_closing,
            read_only=read_only,
            limit_seconds=limits.settle_seconds,
            because="was there during the delete and knows deleted blobs",
        )
    if lease.binding_ours and limits.revokes_role:
        revoke_role(cluster)
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: None}}})
    if lease.opened_at is None:
        return settled
    now = datetime.now(UTC)
    open_for = (now - lease.opened_at).total_seconds()
    log.info("The registry takes pushes again; it was read-only for %s", format_seconds(open_for))
    return settled.model_copy(update={"read_only_seconds": round(open_for, 3), "closed_at": now})


def _begin_closing(cluster: Cluster, holder: str) -> Lease | None:
    """Note in the lease that the window is being closed, and which pods there are; None if it is not ``holder``'s."""
    pods = tuple(pod.uid for pod in cluster.registry_state().pods if not pod.ended)
    lease: Lease | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal lease
        held = _held_lease(config)
        if held is None or held.holder != holder:
            other = f"the window is held by {held.holder}" if held else "there is no lease"
            read_only = bool(config["spec"].get("readOnly"))
            log.warning("Nothing to put back for %s: %s; the registry is %s", holder, other, mode_word(read_only))
            return None
        lease = held.closing(datetime.now(UTC), pods)
        return None if lease == held else lease_patch(lease)

    change_config(cluster, decide)
    return lease


def _end_pruners(cluster: Cluster, lease: Lease, limits: ClosingLimits) -> None:
    try:
        end_pruners(cluster, stop_seconds=limits.stop_seconds, last_resort=lease.delete_started_at is not None)
    except (PrunerLivesError, ClusterError) as error:
        assert lease.closing_since is not None
        tried = (datetime.now(UTC) - lease.closing_since).total_seconds()
        if tried < limits.reopen_anyway_seconds:
            raise
        log.critical(
            "For %s it could not be made sure that no pruner lives. Its pods were deleted; the registry takes pushes "
            "again all the same, because the limit is reached. Images pushed now may be torn: %s",
            format_seconds(tried),
            error,
        )


def _restore_mode(cluster: Cluster, lease: Lease) -> bool:
    """Put ``readOnly`` back; returns the mode that the registry now gets into.

    A window that was armed and never opened did not make the registry read-only: if it is, that is somebody else's.
    """
    if lease.opened_at is None:
        return bool(cluster.config()["spec"].get("readOnly"))
    cluster.patch_config({"spec": {"readOnly": lease.read_only_before}})
    log.info("Config cluster: spec.readOnly is %s", str(lease.read_only_before).lower())
    return lease.read_only_before


def _restore_image_pruner(cluster: Cluster, lease: Lease) -> None:
    if lease.image_pruner_suspended_before is None:
        return
    pruner = cluster.image_pruner()
    if pruner is not None and bool(pruner["spec"].get("suspend")) is not lease.image_pruner_suspended_before:
        cluster.suspend_image_pruner(lease.image_pruner_suspended_before)
        log.info("ImagePruner cluster: spec.suspend is set back to %s", lease.image_pruner_suspended_before)


def require_open_window(cluster: Cluster, *, holder: str) -> tuple[Lease, RegistryState]:
    """This run's lease and the registry, if the window is open and every pod is read-only.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or the window is being closed.
    """
    lease = require_own_lease(cluster.config(), holder)
    if lease.closing_since is not None:
        raise NotSettledError("The window of this run is being closed, so nothing is deleted")
    state = cluster.registry_state()
    reasons = unsettled(state, read_only=True)
    if reasons:
        raise NotSettledError(f"The registry is not settled read-only, so nothing is deleted: {'; '.join(reasons)}")
    return lease, state


def require_settled_read_only(cluster: Cluster, *, holder: str) -> RegistryState:
    """The look right before a pruner is started: the window is open, every pod read-only, no other pruner at work.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or a pruner is at work already.
    """
    _, state = require_open_window(cluster, holder=holder)
    others = living_pruners(cluster, state)
    if others:
        raise NotSettledError(f"A pruner is at work already, so no second one is started: {'; '.join(others)}")
    return state
