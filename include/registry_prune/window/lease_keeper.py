"""Keeps a run's lease from running out while one of its tasks works."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window.config_lease import change_own_lease
from include.registry_prune.window.lease import LeaseError

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews the lease at once, and then three times in its life, while the context is open.

    A renewal that fails is tried again; a run that lost its lease finds that out at its next step.

    :param holder: ``dag_id/run_id`` of the run.
    :param lasts: how long the lease is valid from each renewal.
    """

    def __init__(self, cluster: Cluster, *, holder: str, lasts: timedelta) -> None:
        self._cluster = cluster
        self._holder = holder
        self._lasts = lasts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=30)

    def _keep(self) -> None:
        while True:
            pause = self._lasts.total_seconds() / 3
            try:
                change_own_lease(
                    self._cluster, self._holder, lambda lease: lease.renewed(datetime.now(UTC) + self._lasts)
                )
            except LeaseError as error:
                log.warning("The lease is not renewed any more: %s", error)
                return
            except ClusterError as error:
                log.warning("The lease could not be renewed, it is tried again: %s", error)
                pause = min(pause, 10.0)
            if self._ended.wait(pause):
                return
