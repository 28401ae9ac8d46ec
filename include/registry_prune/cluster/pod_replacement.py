"""Replacing registry pods one after another, so that the registry goes on serving."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.settling import wait_until_settled

log = logging.getLogger(__name__)


def replace_pods(
    cluster: Cluster, uids: Collection[str], *, read_only: bool, limit_seconds: float, because: str
) -> int:
    """Replace these pods, as far as they are still there.

    By deleting them: the Deployment makes new ones. ``oc rollout restart`` changes the Deployment's template, which is
    the registry's operator's to write: it puts it back, and the rollout may end before it has replaced every pod.

    :param uids: of the pods.
    :param read_only: the registry's present mode.
    :param limit_seconds: for all of them together.
    :param because: goes to the log for each pod.
    :return: how many were replaced.
    :raises NotSettledError: if a new pod does not get ready; the remaining ones are left alone.
    """
    deadline = time.monotonic() + limit_seconds
    replaced = 0
    for uid in uids:
        pods = {pod.uid: pod for pod in cluster.registry_state().pods if not pod.ended}
        if uid not in pods:
            continue
        log.info("Pod %s %s: it is replaced", pods[uid].name, because)
        cluster.delete_pod(pods[uid].name, uid=uid)
        wait_until_settled(
            cluster, read_only=read_only, limit_seconds=max(deadline - time.monotonic(), 1.0), without_pod=uid
        )
        replaced += 1
    return replaced
