"""Ends the pruner of one attempt of the delete, and touches no other: a follower of yesterday's delete may wake up
beside the one of today."""

from __future__ import annotations

import logging

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.deletion.ending import DeleteEnding
from include.registry_prune.pruner.process_scripts import Ending, pruner_of_attempt
from include.registry_prune.pruner.processes import PRUNER_GRACE_SECONDS
from include.registry_prune.window.lease import DeleteAttempt

log = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""For the pruner to end when it is asked to. Where the window is lost, a pod that takes pushes is there some two
seconds after the patch."""


class AttemptEnd(DeleteEnding):
    """Ends an attempt once somebody asks for it."""

    def __init__(self, connect: Connect, attempt: DeleteAttempt) -> None:
        super().__init__(connect)
        self._attempt = attempt

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
