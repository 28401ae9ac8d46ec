"""Looks after the window while a delete is at work: pushes beside a delete are what tears images."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.requests import WATCH_CONFIG, WATCH_PODS
from include.registry_prune.cluster.watching import changes_noticed
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.window.config_lease import held_lease, require_own_lease
from include.registry_prune.window.lease import LeaseError
from include.registry_prune.window.lease_keeper import LeaseRenewal

if TYPE_CHECKING:
    from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect
    from include.registry_prune.deletion.ending import DeleteEnding
    from include.registry_prune.window.lease import Holder

log = logging.getLogger(__name__)

LOOK_AT_CONFIG_SECONDS = 5.0
"""How often Config and pods are looked at even if no watch reports a change."""
RETRY_SECONDS = 1.0


class WindowWatch:
    """Keeps the lease of a window, and has the delete ended when the window is not its own any more.

    :param connect: makes a connection to the cluster; called again after trouble.
    :param holder: whose window it is.
    :param lease_seconds: how long the lease is valid from each renewal.
    :param end: of the delete.
    """

    def __init__(self, connect: Connect, holder: Holder, *, lease_seconds: float, end: DeleteEnding) -> None:
        self._connect = connect
        self._holder = holder
        self._end = end
        self._renewal = LeaseRenewal(holder=holder, lasts=timedelta(seconds=lease_seconds))
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Renew the lease until the window is lost; then have the delete ended, for good: pushes may have been taken.

        That a person sets ``readOnly`` back, takes the lease away, or brings pods that take pushes past the operator is
        noticed by watches: within a fraction of a second, long before such a pod takes pushes.
        """
        while True:
            try:
                async with (
                    self._connect() as cluster,
                    changes_noticed(cluster, (WATCH_CONFIG, WATCH_PODS), self._changed.set),
                ):
                    while await self._is_whole(cluster):
                        await self._wait_for_change()
                    return
            except ClusterError as error:
                if error.status == 409:
                    continue
                log.warning("The look at the window failed; trying again: %s", error)
            except Exception:  # whatever an answer has in it: a watch that has ended lets the lease run out
                log.exception("The look at the window failed; trying again")
            await asyncio.sleep(RETRY_SECONDS)

    async def look_now(self) -> None:
        """One look at the window of a delete that was interrupted: perhaps because its window is over."""
        try:
            async with self._connect() as cluster:
                await self._is_whole(cluster)
        except Exception as error:  # as in watch; whoever begins it again looks for himself
            log.warning("The cluster did not tell whether the window is whole: %s", error)

    async def _wait_for_change(self) -> None:
        with suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with a change.
            async with asyncio.timeout(LOOK_AT_CONFIG_SECONDS):
                await self._changed.wait()
        self._changed.clear()

    async def _is_whole(self, cluster: AsyncCluster) -> bool:
        """Whether the window is whole; renews its lease then, when it is time, and has the delete ended otherwise."""
        config = await cluster.config()
        if not self._is_own(config):
            return False
        # With the operator Unmanaged, or the Deployment rolled back, there are such pods and the Config says nothing.
        writable = [pod.name for pod in await cluster.pods() if not pod.read_only and not pod.ended]
        if writable:
            self._end.ask(
                f"pod {', '.join(writable)} is not read-only although spec.readOnly is true: somebody has changed the "
                f"Deployment {DEPLOYMENT}, or its pods, while the delete was at work"
            )
            return False
        await self._renewal.renew(cluster, config)
        return True

    def _is_own(self, config: dict[str, Any]) -> bool:
        """Whether the Config shows the window that the delete was begun in, still read-only."""
        nobodys = False
        try:
            nobodys = held_lease(config) is None
            require_own_lease(config, self._holder)
        except LeaseError as error:
            # In another window the pod may be one that a delete of its own works in.
            self._end.ask(str(error), may_delete_pod=nobodys)
        else:
            if not config["spec"].get("readOnly"):
                self._end.ask("Config cluster: somebody set spec.readOnly to false while the delete was at work")
        return self._end.why is None
