"""Ends the pruner of one attempt of the delete, and touches no other: a follower of yesterday's delete may wake up
beside the one of today."""

from __future__ import annotations

import asyncio
import logging

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.pruner.process_scripts import Ending, pruner_of_attempt
from include.registry_prune.pruner.processes import PRUNER_GRACE_SECONDS
from include.registry_prune.window.lease import DeleteAttempt

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""For the pruner to end when it is asked to. Where the window is lost, a pod that takes pushes is there some two
seconds after the patch."""
RETRY_SECONDS = 1.0


class AttemptEnd:
    """Ends an attempt once somebody asks for it.

    :param connect: makes a connection to the cluster; called again after trouble.
    """

    def __init__(self, connect: Connect, attempt: DeleteAttempt) -> None:
        self._connect = connect
        self._attempt = attempt
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
        """Wait until somebody asks, and see to it that no process of the attempt lives in its pod."""
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

    async def _end(self, cluster: AsyncCluster) -> None:
        pods = await cluster.pods()
        pod = next((pod for pod in pods if pod.uid == self._attempt.pod_uid and pod.running), None)
        if pod is None:
            return
        ending = Ending(pruner_of_attempt(self._attempt.name), pod.name, STOP_SECONDS)
        try:
            ending.ended(await cluster.exec(pod.name, ending.command, ending.take, limit_seconds=ending.limit_seconds))
        except ClusterError as error:
            if not self._may_delete_pod:
                raise
            log.warning("Deleting pod %s: %s", pod.name, error)
            await cluster.delete_pod(pod.name, uid=pod.uid, grace_seconds=PRUNER_GRACE_SECONDS)
