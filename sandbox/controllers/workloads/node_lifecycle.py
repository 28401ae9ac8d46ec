"""What becomes of a node that is not heard of, and of its pods."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sandbox.base.settings import SandboxSettings
from sandbox.controllers.workloads.replica_set import is_active
from sandbox.kubelet.node import Node
from sandbox.kubelet.pod_status import set_condition
from sandbox.server.objects.store import Store

_CONDITIONS = {
    "Ready": (True, "KubeletReady", "kubelet is posting ready status"),
    "MemoryPressure": (False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": (False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": (False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


class NodeLifecycle:
    """Marks lost nodes, their pods unready, and deletes those pods after a while.

    The deletion does not end while the node is lost: such pods stay Terminating.
    """

    def __init__(self, store: Store, settings: SandboxSettings, nodes: Iterable[Node]) -> None:
        self._store = store
        self._settings = settings
        self._nodes = list(nodes)

    async def run(self) -> None:
        """Follow the nodes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for node in self._nodes:
                group.create_task(self._follow(node))

    async def _follow(self, node: Node) -> None:
        while True:
            self._report(node)
            if node.alive:
                await node.wait_for_change()
            else:
                await self._wait_for_return(node)

    def _report(self, node: Node) -> None:
        def write(obj: dict[str, Any]) -> None:
            for type_, (value, reason, message) in _CONDITIONS.items():
                set_condition(obj.setdefault("status", {}), type_, value, reason, message)

        if node.alive:
            self._store.modify("nodes", node.name, None, write, subresource="status")

    async def _wait_for_return(self, node: Node) -> None:
        if await _returns(node, self._settings.node_monitor):
            return
        self._mark_lost(node)
        if await _returns(node, self._settings.node_eviction):
            return
        self._delete_pods(node)
        await node.wait_until_alive()

    def _mark_lost(self, node: Node) -> None:
        def write(obj: dict[str, Any]) -> None:
            for type_ in _CONDITIONS:
                message = "Kubelet stopped posting node status."
                set_condition(obj["status"], type_, "Unknown", "NodeStatusUnknown", message)

        self._store.modify("nodes", node.name, None, write, subresource="status")
        for pod in self._pods(node):
            self._store.modify(
                "pods",
                pod["metadata"]["name"],
                pod["metadata"]["namespace"],
                lambda obj: set_condition(obj["status"], "Ready", value=False),
                subresource="status",
            )

    def _delete_pods(self, node: Node) -> None:
        for pod in self._pods(node):
            if is_active(pod):
                self._store.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _pods(self, node: Node) -> list[dict[str, Any]]:
        return self._store.list("pods", fields=f"spec.nodeName={node.name}")


async def _returns(node: Node, seconds: float) -> bool:
    """Wait for a lost node; False if it is not back in time."""
    try:
        async with asyncio.timeout(seconds):
            await node.wait_until_alive()
    except TimeoutError:
        return False
    return True
