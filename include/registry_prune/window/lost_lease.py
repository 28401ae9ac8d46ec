"""A window whose lease somebody removed: the run that opened it recognises it, and closes it all the same."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import Opening, Settled, is_still_window
from include.registry_prune.window.config_lease import change_config
from include.registry_prune.window.lease import ANNOTATION, Lease

log = logging.getLogger(__name__)


def reclaim_window(cluster: Cluster, *, armed: Lease, opening: Opening, settled: Settled | None) -> bool:
    """Write this run's lease anew, if there is none and the registry is read-only by this run's window.

    What the lease knew of a delete is lost with it, so one is taken for begun: that is the careful side for closing.

    :param armed: the lease as this run wrote it.
    :param opening: what this run's ``readOnly: true`` made.
    :param settled: the window once it was settled; None if that was not seen.
    :return: whether the lease was written.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        if ANNOTATION in (config["metadata"].get("annotations") or {}) or not config["spec"].get("readOnly"):
            return None
        if not is_still_window(cluster.registry_state(), opening, settled):
            log.error(
                "Config cluster: the lease of %s is gone, and spec.readOnly is true, but not by this run: it has been "
                "changed since, and the pods are others. Somebody made the registry read-only again; it is left alone",
                armed.holder,
            )
            return None
        now = datetime.now(UTC)
        lease = armed.opened(opening.opened_at).deleting(now).renewed(now + (armed.expires_at - armed.armed_at))
        return {"metadata": {"annotations": {ANNOTATION: lease.to_annotation()}}}

    if change_config(cluster, decide) is None:
        return False
    log.warning(
        "Somebody removed the lease of %s while its window was open. The registry is still read-only by this run, so "
        "the lease is written again and the window is closed",
        armed.holder,
    )
    return True
