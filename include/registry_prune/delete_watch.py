"""Ends a delete whose window is torn open: pushes beside a delete are what tears images."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.lease import LeaseError
from include.registry_prune.pruner_processes import PrunerLivesError, end_pruners
from include.registry_prune.settling import LOOK_AGAIN_SECONDS
from include.registry_prune.watching import Changes
from include.registry_prune.window import require_own_lease

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""For the pruner to end when it is asked to. A pod that takes pushes is there some two seconds after the patch."""
RETRY_SECONDS = 1.0


class DeleteWatch:
    """Looks at the Config while the context is open; when the window is not this run's any more, the pruner ends.

    That a person sets ``readOnly`` back, or takes the lease away, is noticed by a watch: within a fraction of a second,
    long before the operator has a pod that takes pushes.

    :param holder: ``dag_id/run_id`` of the run that deletes.
    """

    def __init__(self, cluster: Cluster, *, holder: str) -> None:
        self._cluster = cluster
        self._holder = holder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="delete watch", daemon=True)
        self.broken: str | None = None
        """Why the delete was ended; None if it was not."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        with Changes(self._cluster) as changes:
            while not self._ended.is_set():
                self.broken = self._why_broken()
                if self.broken:
                    log.error("The delete is ended: %s", self.broken)
                    self._end_pruners()
                    return
                changes.wait(LOOK_AGAIN_SECONDS)

    def _why_broken(self) -> str | None:
        try:
            config = self._cluster.config()
            require_own_lease(config, self._holder)
        except LeaseError as error:
            return str(error)
        except ClusterError as error:
            log.warning("It could not be looked at whether the window is still open: %s", error)
            return None
        if not config["spec"].get("readOnly"):
            return "Config cluster: somebody has set spec.readOnly to false while the delete was at work"
        return None

    def _end_pruners(self) -> None:
        while not self._ended.is_set():
            try:
                end_pruners(self._cluster, stop_seconds=STOP_SECONDS)
            except (ClusterError, PrunerLivesError) as error:
                log.error("The pruner could not be ended yet: %s", error)  # noqa: TRY400 - it is tried again
                self._ended.wait(RETRY_SECONDS)
            else:
                return
