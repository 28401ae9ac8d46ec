"""Notices changes of the registry as they happen.

The watches only say *that* something changed; what is true is then read anew. So a watch that breaks off, expires
(410) or is refused can delay a look, and never make it wrong.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from include.registry_prune.cluster.cluster import CONFIGS, DEPLOYMENTS, PODS, Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.names import DEPLOYMENT, REGISTRY_POD_LABELS

log = logging.getLogger(__name__)

WATCH_SECONDS = 60
"""How long the API server keeps one watch open; then the next begins."""
PAUSE_SECONDS = 1.0
"""Between a watch that failed and the next."""
_WATCHED: Mapping[str, Mapping[str, str]] = {
    CONFIGS: {"fieldSelector": "metadata.name=cluster"},
    DEPLOYMENTS: {"fieldSelector": f"metadata.name={DEPLOYMENT}"},
    PODS: {"labelSelector": REGISTRY_POD_LABELS},
}


class Changes:
    """Watches Config, Deployment and pods of the registry while the context is open."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._threads = [
            # A daemon: it may be in the middle of a read when the work is done, and must not hold the process.
            threading.Thread(target=self._follow, args=(path, query), name=f"watch {path}", daemon=True)
            for path, query in _WATCHED.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Return when something has changed since the last call, at the latest after so many seconds."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _follow(self, path: str, query: Mapping[str, str]) -> None:
        while not self._ended.is_set():
            try:
                for _ in self._cluster.watch(path, query, seconds=WATCH_SECONDS):
                    self._changed.set()
                    if self._ended.is_set():
                        return
            except ClusterError as error:
                if self._ended.is_set():
                    return
                if error.permanent:
                    log.warning("Changes are looked for every few seconds only: %s", error)
                    return
                self._changed.set()
                self._ended.wait(PAUSE_SECONDS)
