"""A window whose lease somebody removed: the run that armed it writes it again, so that it can be closed as always."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import Opening, Settled, is_still_window
from include.registry_prune.window.config_lease import change_config, closed_windows, held_lease, lease_patch
from include.registry_prune.window.lease import Lease, LeaseError

log = logging.getLogger(__name__)


def reclaim_window(cluster: Cluster, *, armed: Lease, opening: Opening | None, settled: Settled | None) -> None:
    """Write the lease anew, if there is none, or something unreadable in its place: a pruner may live, and what the
    lease says has to be put back.

    What the lease knew of a delete is lost with it, so one is taken for begun: that is the careful side for closing. A
    registry that is read-only, but not by this window, is somebody else's: the lease then says that its window was set
    back already, and closing leaves ``readOnly`` alone and says so.

    :param armed: the lease as its run wrote it.
    :param opening: what the run's ``readOnly: true`` made; None if it did not say so.
    :param settled: the window once it was settled; None if that was not seen.
    :raises LeaseError: if something unreadable is in its place, and the window is not this run's any more.
    """
    now = datetime.now(UTC)
    lease = armed.renewed(now + (armed.expires_at - armed.armed_at))
    if opening is not None:
        lease = lease.opened(opening.opened_at).deleting(now)

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        if armed.token in closed_windows(config):
            return None
        unreadable: LeaseError | None = None
        try:
            if held_lease(config) is not None:
                return None
        except LeaseError as error:
            unreadable = error
        state = cluster.registry_state()
        still_open = opening is not None and state.read_only and is_still_window(state, opening, settled)
        if unreadable is not None and not still_open:
            raise unreadable
        if opening is not None and state.read_only and not still_open:
            return lease_patch(lease.reopened(now, ()))
        return lease_patch(lease)

    if change_config(cluster, decide) is not None:
        log.warning(
            "Config cluster: somebody removed or spoilt the lease of %s while its window was open. This run writes it "
            "again, so that it can end every pruner and put everything back",
            armed.holder,
        )
