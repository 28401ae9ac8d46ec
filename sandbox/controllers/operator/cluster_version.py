"""The version of the cluster: what the object ClusterVersion says of it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from sandbox.base.names import CLUSTER_VERSION, CLUSTER_VERSIONS
from sandbox.kubelet.pod_status import set_condition
from sandbox.server.objects.metadata import timestamp
from sandbox.server.objects.store import Store

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?")


def set_cluster_version(store: Store, version: str, *, completed: bool = True) -> dict[str, Any]:
    """Update the cluster to a version, which may be an older one.

    :param version: ``4.9.17``.
    :param completed: False: the update is under way.
    :returns: the ClusterVersion.
    :raises ValueError: this is no version.
    """
    if _VERSION.fullmatch(version) is None:
        raise ValueError(f"{version!r} is no version of a cluster: write it as 4.18.14")
    return store.modify(
        CLUSTER_VERSIONS, CLUSTER_VERSION, None, lambda obj: _update(obj, version, completed), subresource="status"
    )


def current_version(store: Store) -> str:
    """The version that the cluster has or is on its way to."""
    return str(store.get(CLUSTER_VERSIONS, CLUSTER_VERSION)["status"]["desired"]["version"])


def _update(obj: dict[str, Any], version: str, completed: bool) -> None:
    status, now = obj["status"], timestamp()
    image = "quay.io/openshift-release-dev/ocp-release@sha256:" + hashlib.sha256(version.encode()).hexdigest()
    for entry in status["history"]:
        entry.setdefault("completionTime", now)
    entry = {"state": "Completed" if completed else "Partial", "version": version, "image": image, "verified": True}
    times = {"startedTime": now} | ({"completionTime": now} if completed else {})
    status["history"].insert(0, entry | times)
    status["desired"] = {"version": version, "image": image}
    progress = f"Cluster version is {version}" if completed else f"Working towards {version}: 106 of 903 done"
    set_condition(status, "Progressing", not completed, message=progress)
    if completed:
        set_condition(status, "Available", value=True, message=f"Done applying {version}")
