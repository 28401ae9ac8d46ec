"""The ReplicaSet controller: as many pods as wanted, made from the template."""

from __future__ import annotations

from typing import Any

from sandbox.controllers.base import Controller, Key, owned_by, owner_reference
from sandbox.controllers.workloads.deployment import REPLICA_SETS

_FINISHED = ("Succeeded", "Failed")


def new_pod(owner: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    """A Pod of that template, under a generated name, controlled by ``owner``."""
    metadata = {name: value for name, value in template["metadata"].items() if name != "creationTimestamp"}
    return {
        "metadata": {
            **metadata,
            "generateName": f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def is_active(pod: dict[str, Any]) -> bool:
    """It has neither ended nor been deleted: it counts as a replica."""
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in _FINISHED


def is_ready(pod: dict[str, Any]) -> bool:
    """Its condition Ready is True."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _worth(pod: dict[str, Any]) -> tuple[bool, bool, bool, int]:
    """Pods of the least worth are deleted first: ``ActivePods.Less`` in ``pkg/controller/controller_utils.go``."""
    status = pod.get("status", {})
    restarts = sum(found.get("restartCount", 0) for found in status.get("containerStatuses") or [])
    return "nodeName" in pod["spec"], status.get("phase") == "Running", is_ready(pod), -restarts


class ReplicaSetController(Controller):
    """Makes and deletes the pods of ReplicaSets."""

    kind = "ReplicaSet"
    watched = (REPLICA_SETS, "pods")

    def reconcile(self, key: Key) -> float | None:
        """Make missing pods, delete superfluous ones, write the counts."""
        if self.store.find(REPLICA_SETS, key[1], key[0]) is None:
            return None
        replica_set = self.store.get(REPLICA_SETS, key[1], key[0])
        pods = [pod for pod in owned_by(self.store.list("pods", key[0]), replica_set) if is_active(pod)]
        if "deletionTimestamp" not in replica_set["metadata"]:
            pods = self._adjust(replica_set, pods)
        self._write_status(replica_set, pods)
        return None

    def _adjust(self, replica_set: dict[str, Any], pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
        wanted: int = replica_set["spec"]["replicas"]
        missing = max(wanted - len(pods), 0)
        made = [
            self.store.create("pods", new_pod(replica_set, replica_set["spec"]["template"])) for _ in range(missing)
        ]
        by_worth = sorted(pods, key=_worth)
        superfluous = by_worth[: max(len(pods) - wanted, 0)]
        for pod in superfluous:
            self.store.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
        return [*by_worth[len(superfluous) :], *made]

    def _write_status(self, replica_set: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        ready = sum(map(is_ready, pods))
        counts = {"fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        status = {
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        self.store.modify(
            REPLICA_SETS,
            replica_set["metadata"]["name"],
            replica_set["metadata"]["namespace"],
            lambda obj: obj.update(status=status),
            subresource="status",
        )
