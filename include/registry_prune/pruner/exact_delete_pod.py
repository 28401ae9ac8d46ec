"""Whether the exact delete's pod lives, its end, and its name: what whoever opens or closes a window asks.

The pod has one name, of whatever run. It has ended when its object is gone, and not before: the kubelet of a lost node
says nothing, and its process may live.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.names import (
    EXACT_DELETE_GRACE_SECONDS,
    EXACT_DELETE_LABEL,
    EXACT_DELETE_POD,
    MANAGED_BY,
    NAMESPACE,
    WINDOW_ANNOTATION,
)
from include.registry_prune.pruner.processes import PrunerLivesError
from include.registry_prune.records import Record

log = logging.getLogger(__name__)

DELETE, PLACEHOLDER = "delete", "placeholder"
_POLL_SECONDS = 0.1
"""The registry is read-only meanwhile."""
_MARGIN_SECONDS = 30.0
"""For the kubelet, and the object to go."""


class ExactPod(Record):
    """The pod of that name.

    :param purpose: what it is for; see :data:`include.registry_prune.names.EXACT_DELETE_LABEL`.
    :param window: token of the window that it was made in.
    """

    uid: str
    purpose: str
    window: str = ""
    phase: str = ""
    terminating: bool = False

    @property
    def over(self) -> bool:
        """Whether it has ended, and deleted nothing: whoever left it there has read its log. Of one that deletes only
        its being gone counts."""
        return self.purpose not in (DELETE, PLACEHOLDER) and self.phase in ("Succeeded", "Failed")

    def text(self) -> str:
        """For people."""
        if self.purpose == PLACEHOLDER:
            return f"pod {EXACT_DELETE_POD} holds the name while a window is closed"
        ending = ", which is being ended" if self.terminating else ""
        return f"pod {EXACT_DELETE_POD} ({self.purpose}, {self.phase or 'no phase'}){ending}"


def exact_pod(cluster: Cluster) -> ExactPod | None:
    """The pod of the exact delete; None if there is none.

    :raises ClusterError: if the cluster does not answer.
    """
    for pod in cluster.pods(EXACT_DELETE_LABEL):
        if pod["metadata"]["name"] == EXACT_DELETE_POD:
            return _view(pod)
    return None


def _view(pod: Mapping[str, Any]) -> ExactPod:
    metadata = pod["metadata"]
    return ExactPod(
        uid=metadata["uid"],
        purpose=(metadata.get("labels") or {}).get(EXACT_DELETE_LABEL, ""),
        window=(metadata.get("annotations") or {}).get(WINDOW_ANNOTATION, ""),
        phase=(pod.get("status") or {}).get("phase", ""),
        terminating="deletionTimestamp" in metadata,
    )


def end_exact_pod(
    cluster: Cluster, pod: ExactPod, *, limit_seconds: float = EXACT_DELETE_GRACE_SECONDS + _MARGIN_SECONDS
) -> None:
    """Delete a pod and wait until its object is gone: it ends between two batches, and says how far it came.

    :raises PrunerLivesError: if it is still there: a process may live in it.
    :raises ClusterError: if the cluster does not answer.
    """
    deadline = time.monotonic() + limit_seconds
    cluster.delete_pod(EXACT_DELETE_POD, uid=pod.uid)
    while (found := exact_pod(cluster)) is not None and found.uid == pod.uid:
        if time.monotonic() > deadline:
            raise PrunerLivesError(
                f"Pod {EXACT_DELETE_POD} is still there {limit_seconds:.0f} s after it was deleted, and a delete may "
                "be at work in it. The registry stays read-only until that is known: look at the pod's node."
            )
        time.sleep(_POLL_SECONDS)


def take_name(
    cluster: Cluster, *, window: str, limit_seconds: float = EXACT_DELETE_GRACE_SECONDS + _MARGIN_SECONDS
) -> None:
    """End a delete of whatever window, and hold the name, so that nobody starts another one while this one is closed.

    Another pod of that name that deletes nothing (an undo) holds it as well, and is left alone.

    :param window: token of the window that is closed.
    :raises PrunerLivesError: as for :func:`end_exact_pod`.
    :raises ClusterError: if the cluster does not answer, or refuses.
    """
    while True:
        found = exact_pod(cluster)
        if found is None:
            try:
                cluster.create_pod(placeholder(window))
            except ClusterError as error:
                if error.status != 409:
                    raise
                # Somebody was quicker: whoever it is, the next look tells.
                continue
            return
        if found.purpose != DELETE:
            return
        log.info("The delete by the list is ended: %s", found.text())
        end_exact_pod(cluster, found, limit_seconds=limit_seconds)


def release_name(cluster: Cluster) -> None:
    """Take the placeholder away, whoever made it; nothing happens if there is none.

    :raises ClusterError: if the cluster does not answer.
    """
    found = exact_pod(cluster)
    if found is not None and found.purpose == PLACEHOLDER:
        # It was never on a node, so its object goes at once.
        cluster.delete_pod(EXACT_DELETE_POD, uid=found.uid, grace_seconds=0)


def placeholder(window: str) -> dict[str, Any]:
    """A pod that holds the name and never runs: no scheduler feels responsible for it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": EXACT_DELETE_POD,
            "namespace": NAMESPACE,
            "labels": {EXACT_DELETE_LABEL: PLACEHOLDER, **MANAGED_BY},
            "annotations": {WINDOW_ANNOTATION: window},
        },
        "spec": {
            "schedulerName": "registry-prune-placeholder",
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [{"name": "placeholder", "image": "registry-prune/placeholder"}],
        },
    }
