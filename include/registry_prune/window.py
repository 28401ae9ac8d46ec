"""The read-only window: arm, open, settled, close; the lease.

Whatever closes the window sees to it that no pruner lives before pushes are taken again: a registry that stays closed
is bad, images torn by a delete beside a push are worse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.lease import ANNOTATION, Lease, LeaseError, check_may_arm, parse_lease
from include.registry_prune.pruner_processes import end_pruners, living_pruners
from include.registry_prune.registry_state import RegistryState, Settled, mode_word, unsettled
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
SAY_EVERY_SECONDS = 15.0
MAXIMUM_CONFLICTS = 20


class NotSettledError(Exception):
    """The registry did not get into the wanted mode in time; the message names what is missing."""


def _held_lease(config: dict[str, Any]) -> Lease | None:
    return parse_lease((config["metadata"].get("annotations") or {}).get(ANNOTATION))


def read_lease(cluster: Cluster) -> Lease | None:
    """The lease that is on the Config CR now.

    :raises LeaseError: if the annotation is no lease.
    """
    return _held_lease(cluster.config())


def _change_config(cluster: Cluster, decide: Callable[[dict[str, Any]], dict[str, Any] | None]) -> bool:
    """Read the Config, decide on a patch, and write it only if nothing has changed in between; else from the start.

    The operator writes its status to the same object, so a conflict is nothing unusual, and another run's lease is
    seen by the next look.

    :param decide: gets the Config; returns the patch, or None to change nothing; may raise.
    :return: whether something was changed.
    """
    for _ in range(MAXIMUM_CONFLICTS):
        config = cluster.config()
        patch = decide(config)
        if patch is None:
            return False
        try:
            cluster.patch_config(patch, resource_version=config["metadata"]["resourceVersion"])
        except ClusterError as error:
            if error.status != 409:
                raise
        else:
            return True
    raise ClusterError(
        f"Config cluster: changed by others {MAXIMUM_CONFLICTS} times in a row while it was written", 409
    )


def _lease_patch(lease: Lease, **spec: Any) -> dict[str, Any]:
    patch: dict[str, Any] = {"metadata": {"annotations": {ANNOTATION: lease.to_annotation()}}}
    return {**patch, "spec": spec} if spec else patch


def arm(cluster: Cluster, *, holder: str, run_url: str, lasts: timedelta) -> Lease:
    """Write the lease, then suspend the ImagePruner. Nothing else is changed; calling it again is safe.

    :param holder: ``dag_id/run_id`` of this run.
    :param lasts: after this time the lease may be taken away.
    :raises LeaseError: if another run holds the window, or somebody else made the registry read-only.
    """
    pruner = cluster.image_pruner()
    now = datetime.now(UTC)
    lease = Lease(
        holder=holder,
        run_url=run_url,
        armed_at=now,
        expires_at=now + lasts,
        image_pruner_suspended_before=None if pruner is None else bool(pruner["spec"].get("suspend")),
    )

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal lease
        held = _held_lease(config)
        check_may_arm(held, holder=holder, read_only=bool(config["spec"].get("readOnly")))
        if held is None:
            return _lease_patch(lease)
        lease = held
        return None

    if _change_config(cluster, decide):
        log.info("Lease written for %s, until %s", holder, lease.expires_at.isoformat(timespec="seconds"))
    if pruner is not None and not pruner["spec"].get("suspend"):
        cluster.suspend_image_pruner(True)
        log.info("ImagePruner cluster: suspended for the window")
    return lease


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


def open_window(cluster: Cluster, *, holder: str, limit_seconds: float) -> Settled:
    """Patch ``readOnly: true`` and wait until no pod takes pushes any more. Calling it again is safe.

    :raises LeaseError: if this run does not hold the lease.
    :raises NotSettledError: if some pod still takes pushes after ``limit_seconds``.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        lease = require_own_lease(config, holder)
        if config["spec"].get("readOnly"):
            return None
        return _lease_patch(lease.opened(datetime.now(UTC)), readOnly=True)

    if _change_config(cluster, decide):
        log.info("Config cluster: spec.readOnly is set to true; the registry's pods are replaced")
    return wait_until_settled(cluster, read_only=True, limit_seconds=limit_seconds)


def close_window(cluster: Cluster, *, holder: str, limit_seconds: float, stop_seconds: float) -> Settled | None:
    """End every pruner, put back what the lease says, wait until settled, then take the lease away.

    Calling it again is safe: it goes on from what the cluster shows.

    :param stop_seconds: how long a pruner may take to end when it is asked to.
    :return: None if this run holds no lease: then nothing of its is left to put back.
    :raises NotSettledError: if some pod is still read-only after ``limit_seconds``.
    """
    config = cluster.config()
    held = _held_lease(config)
    if held is None or held.holder != holder:
        other = f"the window is held by {held.holder}" if held else "there is no lease"
        log.warning(
            "Nothing to put back for %s: %s; spec.readOnly is %s", holder, other, config["spec"].get("readOnly")
        )
        return None
    end_pruners(cluster, stop_seconds=stop_seconds)
    if bool(config["spec"].get("readOnly")) is not held.read_only_before:
        cluster.patch_config({"spec": {"readOnly": held.read_only_before}})
        log.info("Config cluster: spec.readOnly is set back to %s", str(held.read_only_before).lower())
    _restore_image_pruner(cluster, held)
    settled = wait_until_settled(cluster, read_only=held.read_only_before, limit_seconds=limit_seconds)
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: None}}})
    if held.opened_at is None:
        return settled
    open_for = (datetime.now(UTC) - held.opened_at).total_seconds()
    log.info("The registry takes pushes again; it was read-only for %s", format_seconds(open_for))
    return settled.model_copy(update={"read_only_seconds": round(open_for, 3)})


def _restore_image_pruner(cluster: Cluster, lease: Lease) -> None:
    if lease.image_pruner_suspended_before is None:
        return
    pruner = cluster.image_pruner()
    if pruner is not None and bool(pruner["spec"].get("suspend")) is not lease.image_pruner_suspended_before:
        cluster.suspend_image_pruner(lease.image_pruner_suspended_before)
        log.info("ImagePruner cluster: spec.suspend is set back to %s", lease.image_pruner_suspended_before)


def wait_until_settled(
    cluster: Cluster,
    *,
    read_only: bool,
    limit_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Wait until every pod, Terminating ones included, is in the wanted mode.

    An API server that does not answer for a while is waited for, too.

    :raises NotSettledError: after ``limit_seconds``; it names what is not settled and the operator's conditions.
    """
    started = said = time.monotonic()
    while True:
        state: RegistryState | None = None
        try:
            state = cluster.registry_state()
            reasons = unsettled(state, read_only=read_only)
        except ClusterError as error:
            if error.permanent:
                raise
            reasons = [str(error)]
        now = time.monotonic()
        if state is not None and not reasons:
            log.info("Settled %s after %s", mode_word(read_only), format_seconds(now - started))
            return Settled(read_only=read_only, seconds=round(now - started, 3), pods=len(state.pods))
        if now - started > limit_seconds:
            conditions = f" Operator: {'; '.join(state.conditions)}" if state else ""
            raise NotSettledError(
                f"The registry is not settled {mode_word(read_only)} after {format_seconds(limit_seconds)}: "
                f"{'; '.join(reasons)}.{conditions}"
            )
        if now - said > SAY_EVERY_SECONDS:
            said = now
            log.info("Waiting until settled %s: %s", mode_word(read_only), "; ".join(reasons))
        sleep(POLL_SECONDS)


def require_settled_read_only(cluster: Cluster, *, holder: str) -> RegistryState:
    """The look right before a delete: this run's lease, every pod read-only, no other pruner at work.

    :raises LeaseError: if this run does not hold the window.
    :raises NotSettledError: if a pod takes pushes, or a pruner is at work already.
    """
    require_own_lease(cluster.config(), holder)
    state = cluster.registry_state()
    reasons = unsettled(state, read_only=True)
    if reasons:
        raise NotSettledError(f"The registry is not settled read-only, so nothing is deleted: {'; '.join(reasons)}")
    others = living_pruners(cluster, state)
    if others:
        raise NotSettledError(f"A pruner is at work already, so no second one is started: {'; '.join(others)}")
    return state
