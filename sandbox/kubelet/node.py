"""A worker node: whether its kubelet answers."""

from __future__ import annotations

import asyncio

from sandbox.kubelet.pod_status import NODE_NETWORK

KUBELET_PORT = 10250


class Node:
    """One node.

    :param index: counted from 0; gives name and address.
    """

    def __init__(self, index: int) -> None:
        self.name = f"worker-{index}"
        self.address = str(NODE_NETWORK[10 + index])
        self.alive = True
        self._changed = asyncio.Event()

    def set_alive(self, alive: bool) -> None:
        """The kubelet is lost, or comes back."""
        self.alive = alive
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Return at the next loss or return."""
        await self._changed.wait()

    async def wait_until_alive(self) -> None:
        """Return when the kubelet answers; at once if it does."""
        while not self.alive:
            await self.wait_for_change()

    @property
    def refusal(self) -> str:
        """What the API server says of an attempt to reach the kubelet while it is lost."""
        return f"dial tcp {self.address}:{KUBELET_PORT}: connect: connection refused"
