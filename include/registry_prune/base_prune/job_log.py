"""The log of a Job's pods, read while they work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError

log = logging.getLogger(__name__)

SILENCE_SECONDS = 20.0
"""A pruner may be silent for minutes, and a connection may die unnoticed. After this long the log is asked for anew,
from where it stopped; whoever follows it looks at the Job in between."""


class JobLog:
    """Reads a Job's log, each line once, over as many connections as it takes.

    Kubelets rotate logs: what is read while the pods work is all that there is for sure.

    :param job: the Job's name.
    :param take: gets each line.
    """

    def __init__(self, cluster: Cluster, job: str, take: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._job = job
        self._take = take
        self._read_until: dict[str, str] = {}

    def follow(self, deadline: float) -> None:
        """Read until the containers end, the connection breaks off, or nothing comes for a while; then return.

        :param deadline: of ``time.monotonic()``: return then in any case.
        """
        try:
            for pod in self._started_pods():
                self._read(pod, follow=True, deadline=deadline)
        except ClusterError as error:
            log.debug("The log of Job %s: %s", self._job, error)

    def read_rest(self) -> None:
        """Read what is still there of an ended Job's log. A line stands in place of what cannot be read."""
        try:
            for pod in self._started_pods():
                self._read(pod, follow=False, deadline=time.monotonic() + SILENCE_SECONDS)
        except ClusterError as error:
            log.warning("The log of Job %s cannot be read: %s", self._job, error)
            self._take(f"(the rest of the log cannot be read: {error})")

    def _started_pods(self) -> list[str]:
        pods = self._cluster.pods_of_job(self._job)
        return [pod["metadata"]["name"] for pod in pods if (pod.get("status") or {}).get("phase") != "Pending"]

    def _read(self, pod: str, *, follow: bool, deadline: float) -> None:
        # The API takes whole seconds: it gives lines again that were read already.
        since = self._read_until.get(pod, "")
        silence_seconds = min(SILENCE_SECONDS, max(deadline - time.monotonic(), 1.0))
        for written_at, line in self._cluster.pod_log(pod, since=since, follow=follow, silence_seconds=silence_seconds):
            if written_at > self._read_until.get(pod, ""):
                self._read_until[pod] = written_at
                self._take(line)
            if time.monotonic() > deadline:
                return
