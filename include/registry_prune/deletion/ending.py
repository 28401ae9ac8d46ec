"""Ends a delete once somebody who looks after it asks for that."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect
from include.registry_prune.cluster.error import ClusterError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class DeleteEnding(ABC):
    """The end of one delete, of either kind.

    :param connect: makes a connection to the cluster; called again after trouble.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._asked = asyncio.Event()
        self._may_delete_pod = True
        self.why: str | None = None
        """Why it was ended; None while nobody has asked."""
        self.as_planned = False
        """It was ended because its time was over, and nothing is wrong."""

    def ask(self, why: str, *, may_delete_pod: bool = True, as_planned: bool = False) -> None:
        """Have it ended; the first who asks says why.

        :param as_planned: its time is over; nothing is wrong.
        :param may_delete_pod: delete a pod that cannot be looked into. Not where another window is open: its delete may
            live in that pod.
        """
        if self.why is not None:
            return
        self.why, self._may_delete_pod, self.as_planned = why, may_delete_pod, as_planned
        log.log(logging.INFO if as_planned else logging.ERROR, "Ending the delete: %s", why)
        self._asked.set()

    async def carry_out(self) -> None:
        """Wait until somebody asks, and see to it that no process of the delete lives."""
        await self._asked.wait()
        while True:
            try:
                async with self._connect() as cluster:
                    await self._end(cluster)
                    return
            except ClusterError as error:
                log.warning("The delete could not be ended; trying again: %s", error)
            except Exception:  # whatever an answer has in it
                log.exception("The delete could not be ended; trying again")
            await asyncio.sleep(RETRY_SECONDS)

    @abstractmethod
    async def _end(self, cluster: AsyncCluster) -> None:
        """End its process.

        :raises ClusterError: if it is to be tried again.
        """
