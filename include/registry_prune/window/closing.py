"""The read-only window is closed: the pruner first, then the pushes.

Whatever closes the window sees to it that no pruner lives before pushes are taken again: a registry that stays closed
is bad, images torn by a delete beside a push are worse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.registry_prune.cluster.cluster import Cluster, suspended_by
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import (
    PodState,
    Settled,
    mode_word,
)
from include.registry_prune.cluster.role import revoke_role_of
from include.registry_prune.cluster.settling import replace_pods, wait_until_settled
from include.registry_prune.names import TAKE_PUSHES_COMMAND
from include.registry_prune.pruner.exact_delete_pod import DELETE, end_exact_pod, exact_pod, release_name, take_name
from include.registry_prune.pruner.processes import PrunerLivesError, end_pruners
from include.registry_prune.units import format_seconds
from include.registry_prune.window.config_lease import (
    MAXIMUM_CONFLICTS,
    change_config,
    held_lease,
    lease_patch,
    read_lease,
    remove_lease,
)
from include.registry_prune.window.lease import Holder, Lease, TakenOverError

log = logging.getLogger(__name__)


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


def close_window(cluster: Cluster, *, holder: Holder, limits: ClosingLimits) -> Settled | None:
    """End every pruner, put back what the lease says, wait until settled, then take the lease away.

    Calling it again is safe, also while another call is at work: it goes on from what the cluster shows, and changes
    nothing any more once the window is closed and perhaps another one open.

    :return: None if ``holder`` holds no lease (any more): then nothing of its is left to put back.
    :raises PrunerLivesError: if a pruner may still live and the limit to reopen anyway is not reached.
    :raises NotSettledError: if some pod is still read-only after the limit.
    :raises TakenOverError: if somebody else made the registry read-only after this window had set it back. All but
        ``readOnly`` is put back then.
    """
    lease = _begin_closing(cluster, holder)
    if lease is None:
        return None
    _end_pruners(cluster, lease, limits)
    restored = _restore_mode(cluster, lease)
    if restored is None:
        return None
    lease, read_only = restored
    _restore_image_pruner(cluster, lease)
    if lease.reopened_at is not None and read_only:
        _put_back_role(cluster, lease, limits)
        _remove_lease(cluster, lease)
        raise TakenOverError(
            f"Config cluster: somebody else set spec.readOnly to true after the window of "
            f"{holder.text()} had set it back at {lease.reopened_at:%Y-%m-%d %H:%M:%S %Z}. This run leaves it "
            "so, and removes its lease: pushes and builds fail until somebody sets it back. When the reason is gone: "
            f"{TAKE_PUSHES_COMMAND}"
        )
    settled = wait_until_settled(
        cluster, read_only=read_only, limit_seconds=limits.settle_seconds, gives_up_what_is_lost=True
    )
    if lease.delete_started_at is not None:
        # Its cache still knows the deleted blobs: a push of such a layer would "succeed", and the image could not be
        # pulled. Usually the rollout to read-write has replaced them all; not so if somebody else set readOnly back.
        replace_pods(
            cluster,
            _replaceable(cluster, lease),
            read_only=read_only,
            limit_seconds=limits.settle_seconds,
            because="was there during the delete and knows deleted blobs",
        )
    _put_back_role(cluster, lease, limits)
    _remove_lease(cluster, lease)
    if lease.opened_at is None:
        return settled
    now = datetime.now(UTC)
    open_for = (now - lease.opened_at).total_seconds()
    log.info("The registry takes pushes again; it was read-only for %s", format_seconds(open_for))
    figures = {"read_only_seconds": round(open_for, 3), "closed_at": now, "delete_began_at": lease.delete_started_at}
    return settled.model_copy(update=figures)


def _begin_closing(cluster: Cluster, holder: Holder) -> Lease | None:
    """Note in the lease that the window is being closed, and which pods there are; None if it is not ``holder``'s."""
    pods = _serving(cluster)
    lease: Lease | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal lease
        held = held_lease(config)
        if held is None or not held.held_by(holder):
            other = f"another window is held by {held.holder}" if held else "there is no lease"
            read_only = bool(config["spec"].get("readOnly"))
            mode = mode_word(read_only)
            log.warning("Nothing to put back for %s: %s; the registry is %s", holder.text(), other, mode)
            return None
        lease = held.closing(datetime.now(UTC), pods)
        return None if lease == held else lease_patch(lease)

    change_config(cluster, decide)
    return lease


def _remove_lease(cluster: Cluster, lease: Lease) -> None:
    """Take the lease away, then the placeholder: who makes a pod after that finds no lease, and hands no list over."""
    remove_lease(cluster, lease)
    if lease.deletes_by_list:
        release_name(cluster)


def _replaceable(cluster: Cluster, lease: Lease) -> list[str]:
    """The pods of before that can be replaced: one of a lost node serves nobody, and its kubelet ends it."""
    pods = cluster.registry_state().pods
    return [pod.uid for pod in pods if pod.uid in lease.pods_before_closing and not pod.lost()]


def _serving(cluster: Cluster) -> tuple[str, ...]:
    return tuple(pod.uid for pod in cluster.registry_state().pods if not pod.ended)


def _end_pruners(cluster: Cluster, lease: Lease, limits: ClosingLimits) -> None:
    """Only a pod that was deleted and is not seen gone may be given up in the end: where the cluster does not answer,
    nothing was deleted."""
    try:
        if lease.deletes_by_list:
            # First, so that no late creator starts one while this window is closed.
            take_name(cluster, window=lease.token)
        elif (found := exact_pod(cluster)) is not None and found.purpose == DELETE:
            # Whoever can write the lease can take the knowledge of it away.
            end_exact_pod(cluster, found)
        end_pruners(cluster, stop_seconds=limits.stop_seconds, may_delete_in=_may_delete_in(lease))
    except PrunerLivesError as error:
        assert lease.closing_since is not None
        tried = (datetime.now(UTC) - lease.closing_since).total_seconds()
        if tried < limits.reopen_anyway_seconds:
            raise
        log.critical(
            "For %s nobody could make sure that no pruner lives. Its pods were deleted, and the limit reopen_anyway is "
            "over: the registry takes pushes again. Images that are pushed now may be torn. The last error: %s",
            format_seconds(tried),
            error,
        )


def _may_delete_in(lease: Lease) -> Callable[[PodState], bool]:
    """Whether a delete of this window may live in a pod: in that of its attempt; in any if it is not known in which."""
    if lease.delete_started_at is None:
        return lambda pod: False
    attempt = lease.attempt
    return (lambda pod: True) if attempt is None else (lambda pod: pod.uid == attempt.pod_uid)


def _restore_mode(cluster: Cluster, lease: Lease) -> tuple[Lease, bool] | None:
    """Put ``readOnly`` back; returns the lease and the mode that the registry now gets into, None if the window is
    closed already.

    A window that was armed and never opened did not make the registry read-only: if it is, that is somebody else's. The
    same where ``readOnly`` is true again after it had been set back.
    """
    pods = _serving(cluster)
    restored: tuple[Lease, bool] | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal restored
        held = held_lease(config)
        if held is None or not held.held_by(lease.owner):
            restored = None
            return None
        if held.opened_at is None or held.reopened_at is not None:
            restored = held, bool(config["spec"].get("readOnly"))
            return None
        held = held.reopened(datetime.now(UTC), pods)
        restored = held, False
        # Whatever the lease says was there before: a window opens no registry that is read-only, and closing makes none
        # read-only.
        return lease_patch(held, readOnly=False)

    if change_config(cluster, decide):
        log.info("Config cluster: spec.readOnly is false")
    if restored is None:
        log.info("The window of %s is closed already", lease.holder)
    return restored


def _is_held(cluster: Cluster, lease: Lease) -> bool:
    held = read_lease(cluster)
    return held is not None and held.held_by(lease.owner)


def _restore_image_pruner(cluster: Cluster, lease: Lease) -> None:
    """Let the ImagePruner work again, if this window suspended it and is not closed already: then it is the next one's.

    Nothing is ever suspended here, and what this window did not suspend stays so: the ImagePruner itself says whose it
    is, because the lease can be written by anybody who may annotate the Config.

    The ImagePruner is read before the lease and written only if nothing has changed it since. Whoever closes the window
    meanwhile sets it back before the lease goes, so that this patch does not meet what the next window sets.
    """
    for _ in range(MAXIMUM_CONFLICTS):
        pruner = cluster.image_pruner()
        if pruner is None or not pruner["spec"].get("suspend") or not _is_held(cluster, lease):
            return
        if suspended_by(pruner) != lease.token:
            log.warning(
                "ImagePruner cluster: spec.suspend is true, and not by the window of %s: it stays", lease.holder
            )
            return
        try:
            cluster.suspend_image_pruner(False, resource_version=pruner["metadata"]["resourceVersion"])
        except ClusterError as error:
            if error.status != 409:
                raise
        else:
            log.info("ImagePruner cluster: set spec.suspend back to false")
            return
    raise ClusterError(
        f"ImagePruner cluster: somebody else changed it {MAXIMUM_CONFLICTS} times in a row. Try again", 409
    )


def _put_back_role(cluster: Cluster, lease: Lease, limits: ClosingLimits) -> None:
    if lease.binding_ours and limits.revokes_role and _is_held(cluster, lease):
        revoke_role_of(cluster, lease.token)
