"""Looks after the window while a delete is at work: pushes beside a delete are what tears images."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.pruner.processes import PRUNER_GRACE_SECONDS, end_command
from include.registry_prune.window.config_lease import lease_patch, require_own_lease
from include.registry_prune.window.lease import LeaseError

if TYPE_CHECKING:
    from include.registry_prune.cluster.async_cluster import AsyncCluster

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""For the pruner to end when its window is lost. A pod that takes pushes is there some two seconds after the patch."""
LOOK_AT_CONFIG_SECONDS = 5.0
"""Config and pods are looked at so often even if no watch reports a change."""
WATCH_SECONDS = 60
WATCH_PAUSE_SECONDS = 0.1
RETRY_SECONDS = 1.0
CANCEL_AGAIN_SECONDS = 0.5


async def end_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they are over: a library may swallow a cancellation, and a delete's end must not wait for
    a watch that goes on."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)


class WindowWatch:
    """Keeps the lease of a window, and ends the pruner when the window is not this run's any more.

    :param connect: makes a connection to the cluster; called again after trouble.
    :param holder: ``dag_id/run_id`` of the run that deletes.
    :param lease_seconds: how long the lease is valid from each renewal.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[AsyncCluster]],
        *,
        holder: str,
        lease_seconds: float,
    ) -> None:
        self._connect = connect
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._renewed = -math.inf
        self.lost: str | None = None
        """Why the delete was ended; None if the window is whole."""

    async def watch(self) -> None:
        """Renew the lease; and end the pruner when the window is not this run's any more.

        That a person sets ``readOnly`` back, takes the lease away, or brings pods that take pushes past the operator is
        noticed by watches: within a fraction of a second, long before such a pod takes pushes.
        """
        while True:
            try:
                async with self._connect() as cluster, _Changes(cluster) as changes:
                    while True:
                        # Once lost, it stays so: pushes may have been taken since.
                        self.lost = self.lost or await self._look_at_window(cluster)
                        if self.lost is not None:
                            log.error("The delete is ended: %s", self.lost)
                            await self._end_pruners(cluster)
                            return
                        await changes.wait(LOOK_AT_CONFIG_SECONDS)
            except ClusterError as error:
                if error.status == 409:
                    continue
                log.warning("The window could not be looked after, it is tried again: %s", error)
            except Exception:  # whatever an answer has in it: a watch that has ended lets the lease run out
                log.exception("The window could not be looked after, it is tried again")
            await asyncio.sleep(RETRY_SECONDS)

    async def _look_at_window(self, cluster: AsyncCluster) -> str | None:
        """Why the window is lost, or None; renews the lease of one that is whole, when it is time."""
        config = await cluster.config()
        try:
            lease = require_own_lease(config, self._holder)
        except LeaseError as error:
            return str(error)
        if not config["spec"].get("readOnly"):
            return "Config cluster: somebody has set spec.readOnly to false while the delete was at work"
        if time.monotonic() - self._renewed >= self._lease_seconds / 3:
            until = datetime.now(UTC) + timedelta(seconds=self._lease_seconds)
            version = config["metadata"]["resourceVersion"]
            await cluster.patch_config(lease_patch(lease.renewed(until)), resource_version=version)
            self._renewed = time.monotonic()
        # With the operator Unmanaged, or the Deployment rolled back, there are such pods and the Config says nothing.
        writable = [pod.name for pod in await cluster.pods() if not pod.read_only and not pod.ended]
        if writable:
            return (
                f"pod {', '.join(writable)} is not read-only although spec.readOnly is true: somebody has changed the "
                f"Deployment {DEPLOYMENT}, or its pods, while the delete was at work"
            )
        return None

    async def _end_pruners(self, cluster: AsyncCluster) -> None:
        """As :func:`processes.end_pruners`; a pod that cannot be looked into is deleted."""
        pods = [pod for pod in await cluster.pods() if pod.running]
        ends = await asyncio.gather(*(self._end_in_pod(cluster, pod.name) for pod in pods))
        for pod, ended in zip(pods, ends, strict=True):
            if not ended:
                log.warning("Pod %s is deleted: it is not known whether a pruner lives in it", pod.name)
                await cluster.delete_pod(pod.name, uid=pod.uid, grace_seconds=PRUNER_GRACE_SECONDS)

    async def _end_in_pod(self, cluster: AsyncCluster, pod: str) -> bool:
        def take(stream: Stream, line: str) -> None:
            if stream is Stream.STDOUT:
                log.warning("Pod %s: a pruner still lives: %s", pod, line)

        try:
            end = await cluster.exec(pod, end_command(STOP_SECONDS), take, limit_seconds=30)
        except ClusterError as error:
            log.warning("Pod %s: %s", pod, error)
            return False
        return end.exit_status == 0


class _Changes:
    """Notices changes of the Config CR and of the registry's pods while the context is open."""

    def __init__(self, cluster: AsyncCluster) -> None:
        self._watches = (cluster.config_changes, cluster.pod_changes)
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._notice(watch)) for watch in self._watches]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_tasks(*self._tasks)

    async def wait(self, seconds: float) -> None:
        """Return when something has changed since the last call, at the latest after so many seconds."""
        with suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with a change.
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _notice(self, watch: Callable[..., AsyncIterator[None]]) -> None:
        while True:
            try:
                async for _ in watch(seconds=WATCH_SECONDS):
                    self._changed.set()
                # A watch that is ended as soon as it begins, by a proxy say, must not be begun anew without a pause.
                await asyncio.sleep(WATCH_PAUSE_SECONDS)
            except ClusterError:
                await asyncio.sleep(RETRY_SECONDS)
