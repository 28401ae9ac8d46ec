"""The scheduler: a node for each pod. It knows required anti-affinity by host name, and nothing else."""

from __future__ import annotations

from typing import Any

from sandbox.controllers.base import Controller, Key
from sandbox.kubelet.pod_status import set_condition
from sandbox.server.objects.history import WatchEvent

_HOSTNAME = "kubernetes.io/hostname"
_DEFAULT_SCHEDULER = "default-scheduler"
_FINISHED = ("Succeeded", "Failed")
_EVERYTHING: Key = ("", "")


def node_is_ready(node: dict[str, Any]) -> bool:
    """Its condition Ready is True and no one has cordoned it."""
    conditions = node.get("status", {}).get("conditions") or []
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return ready and not node["spec"].get("unschedulable", False)


class Scheduler(Controller):
    """Binds pods to nodes, those with the fewest pods first."""

    kind = "Pod"
    watched = ("pods", "nodes")

    def keys(self, event: WatchEvent) -> list[Key]:
        """A pod that goes, or a node that comes, may make room for any other pod."""
        return [_EVERYTHING]

    def reconcile(self, key: Key) -> float | None:
        """Bind every pod that has no node and fits somewhere; say of the others why not."""
        pods = self.store.list("pods")
        nodes = [node["metadata"]["name"] for node in self.store.list("nodes") if node_is_ready(node)]
        for pod in sorted(pods, key=lambda found: int(found["metadata"]["resourceVersion"])):
            if "nodeName" in pod["spec"] or "deletionTimestamp" in pod["metadata"] or _is_anothers(pod):
                continue
            running = [found for found in pods if _occupies(found)]
            fitting = [name for name in nodes if not _repelled(pod, name, running)]
            if fitting:
                node = min(fitting, key=lambda name: sum(found["spec"]["nodeName"] == name for found in running))
                self._bind(pod, node)
            else:
                self._explain(pod, len(nodes))
        return None

    def _bind(self, pod: dict[str, Any], node: str) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.store.modify("pods", name, namespace, _scheduled, subresource="status")
        self.store.modify("pods", name, namespace, lambda obj: obj["spec"].update(nodeName=node))
        pod["spec"]["nodeName"] = node

    def _explain(self, pod: dict[str, Any], nodes: int) -> None:
        message = (
            f"0/{nodes} nodes are available: {nodes} node(s) didn't match pod anti-affinity rules. "
            "preemption: 0/0 nodes are available."
        )
        self.store.modify(
            "pods",
            pod["metadata"]["name"],
            pod["metadata"]["namespace"],
            lambda obj: set_condition(
                obj.setdefault("status", {}), "PodScheduled", value=False, reason="Unschedulable", message=message
            ),
            subresource="status",
        )


def _scheduled(pod: dict[str, Any]) -> None:
    set_condition(pod.setdefault("status", {}), "PodScheduled", value=True)


def _occupies(pod: dict[str, Any]) -> bool:
    return "nodeName" in pod["spec"] and pod.get("status", {}).get("phase") not in _FINISHED


def _repelled(pod: dict[str, Any], node: str, running: list[dict[str, Any]]) -> bool:
    anti_affinity = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    terms = anti_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    neighbours = [found for found in running if found["spec"]["nodeName"] == node]
    return any(
        _selected(neighbour, term["labelSelector"].get("matchLabels") or {})
        for term in terms
        if term["topologyKey"] == _HOSTNAME
        for neighbour in neighbours
    )


def _selected(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    return labels.items() <= (pod["metadata"].get("labels") or {}).items()


def _is_anothers(pod: dict[str, Any]) -> bool:
    """Whether the pod asks for another scheduler: without that one it stays Pending."""
    return str(pod["spec"].get("schedulerName") or _DEFAULT_SCHEDULER) != _DEFAULT_SCHEDULER
