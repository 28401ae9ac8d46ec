"""Notices changes of the registry as they happen.

The watches only say *that* something changed; what is true is then read anew. So a watch that breaks off, expires
(410) or is refused can delay a look, and never make it wrong.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect, beside, end_tasks
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.requests import WATCH_CONFIG, WATCH_DEPLOYMENT, WATCH_PODS, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from include.registry_prune.cluster.cluster import Cluster

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
"""Between two watches: one that is ended as soon as it begins, by a proxy say, must not be begun anew without a
pause."""
BURST_SECONDS = 0.1
"""A rollout changes Config, Deployment and pods within moments of each other, and a look asks for all three."""
FAILED_PAUSE_SECONDS = 1.0
"""Between a watch that failed and the next."""


async def notice_changes(cluster: AsyncCluster, watched: Sequence[Request], changed: Callable[[], object]) -> None:
    """Tell of every change, until it is cancelled.

    :param watched: of :func:`requests.watch`.
    :param changed: called when something has changed, or may have; also at the beginning.
    """
    await asyncio.gather(*(_notice(cluster, each, changed) for each in watched))


async def _notice(cluster: AsyncCluster, watched: Request, changed: Callable[[], object]) -> None:
    refused = False
    while True:
        try:
            async for _ in cluster.watch(watched):
                changed()
            await asyncio.sleep(PAUSE_SECONDS)
        except ClusterError as error:
            if error.permanent and not refused:
                refused = True
                log.warning("The watch failed, so changes are noticed only every few seconds: %s", error)
            elif not error.permanent:
                changed()
            await asyncio.sleep(FAILED_PAUSE_SECONDS)


@asynccontextmanager
async def changes_noticed(
    cluster: AsyncCluster, watched: Sequence[Request], changed: Callable[[], object]
) -> AsyncIterator[None]:
    """As :func:`notice_changes`, while the context is open."""
    task = asyncio.create_task(notice_changes(cluster, watched, changed))
    try:
        yield
    finally:
        await end_tasks(task)


@contextmanager
def registry_changes(cluster: Cluster) -> Iterator[Callable[[float], None]]:
    """Watches Config, Deployment and pods of the registry while the context is open, for a task that waits for nothing
    else.

    :return: waits until something has changed since the last call, for at most that many seconds.
    """
    changed, returned_at = threading.Event(), 0.0

    async def watch(connect: Connect) -> None:
        while True:
            try:
                async with connect() as connection:
                    await notice_changes(connection, (WATCH_CONFIG, WATCH_DEPLOYMENT, WATCH_PODS), changed.set)
            except ClusterError as error:
                log.warning("The watch failed, so changes are noticed only every few seconds: %s", error)
                await asyncio.sleep(FAILED_PAUSE_SECONDS)

    def wait(seconds: float) -> None:
        nonlocal returned_at
        changed.wait(seconds)
        # The first change is told at once; of those that come with it, one look sees all.
        time.sleep(max(returned_at + BURST_SECONDS - time.monotonic(), 0.0))
        changed.clear()
        returned_at = time.monotonic()

    with beside(cluster.configuration, watch):
        yield wait
