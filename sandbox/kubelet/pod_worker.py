"""The life of one pod on its node, from its start to the removal of its object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.base.names import ADDRESS_ANNOTATION
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.kubelet.containers.container import Container, serves_registry
from sandbox.kubelet.containers.environment import ApiAddress, container_environment
from sandbox.kubelet.containers.pod_files import PodFiles
from sandbox.kubelet.node import Node
from sandbox.kubelet.pod_status import phase_of, report
from sandbox.kubelet.processes import ProcessTable
from sandbox.real_registry.server import RegistryServers
from sandbox.server.errors import ApiError
from sandbox.server.objects.store import Store

log = logging.getLogger(__name__)

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
"""The kubelet's own (``pkg/kubelet/active_deadline.go``)."""
_REMOVAL_SECONDS = 0.05
"""Between the report that a deleted pod's containers have ended and the removal of its object."""


@dataclass(frozen=True)
class PodContext:
    """What all pods of a sandbox share.

    :param readiness_allowed: cleared by a fault: no container becomes ready.
    :param registries: makes registry pods serve; None, they idle.
    """

    state: StateDirectory
    settings: SandboxSettings
    store: Store
    processes: ProcessTable
    address: ApiAddress
    readiness_allowed: asyncio.Event
    registries: RegistryServers | None


class PodWorker:
    """Runs one pod.

    :param pod: the Pod as it was when its node was decided.
    :param pod_ip: its address; only a registry listens there.
    :param token: of its service account.
    """

    def __init__(self, context: PodContext, node: Node, pod: dict[str, Any], pod_ip: str, token: str) -> None:
        metadata = pod["metadata"]
        self.uid: str = metadata["uid"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata["namespace"]
        self.node = node
        self.pod = pod
        self._context = context
        self._pod_ip = pod_ip
        self._started_at = datetime.now(UTC)
        self._evicted: str | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self.files = PodFiles(context.state, self.uid, shared_memory=context.settings.shared_memory)
        self.files.create(token, self.namespace, context.address.ca_certificate)
        self.containers = {
            spec["name"]: Container(
                spec,
                self.files,
                container_environment(context.state, context.address, self.files, pod, spec),
                context.processes,
                self.uid,
                context.registries.server(pod_ip, self.files.root)
                if context.registries and serves_registry(spec)
                else None,
            )
            for spec in pod["spec"]["containers"]
        }

    # --- what the kubelet tells it

    def update(self, pod: dict[str, Any]) -> None:
        """The Pod has changed; a deletion or a shorter grace takes effect."""
        self.pod = pod
        self._changed.set()

    def evict(self, message: str) -> None:
        """End the pod: phase Failed, reason Evicted. Its object stays."""
        self._evicted = message
        self._changed.set()

    async def restart_container(self, name: str | None) -> None:
        """Kill everything in a container, as when it is out of memory; it is started anew.

        :param name: default is the first one.
        :raises KeyError: there is no such container.
        """
        name = name or next(iter(self.containers))
        if name not in self.containers:
            raise KeyError(f"pod {self.name} has no container {name}; there are: {', '.join(self.containers)}")
        await self.containers[name].kill()

    # --- its life

    async def run(self) -> None:
        """Everything up to the removal of the Pod; cancel it when the object is gone already."""
        keepers = asyncio.ensure_future(self._keep_containers())
        try:
            await self._until(keepers)
            await self._cancel(keepers)
            if self._evicted is not None:
                await self._context.processes.kill_pod(self.uid)
                await self._fail("Evicted", self._evicted)
            elif self._past_deadline and not self._ended and not self._deleted:
                grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._end_gracefully(), grace)
                await self._context.processes.kill_pod(self.uid)
                await self._fail("DeadlineExceeded", DEADLINE_MESSAGE)
            while not self._deleted:
                await self._wait_for_change()
            await self._terminate()
        finally:
            await self._cancel(keepers)

    async def destroy(self) -> None:
        """Kill what is left of it and remove its files."""
        await self._context.processes.kill_pod(self.uid)
        await self._wait_for_containers()
        for container in self.containers.values():
            container.ended.set()
        self.files.remove()

    @property
    def _deleted(self) -> bool:
        return "deletionTimestamp" in self.pod["metadata"]

    @property
    def _deadline_left(self) -> float | None:
        """Seconds until its ``activeDeadlineSeconds`` are over; None if it has none."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else seconds - (datetime.now(UTC) - self._started_at).total_seconds()

    @property
    def _past_deadline(self) -> bool:
        left = self._deadline_left
        return left is not None and left <= 0

    async def _until(self, keepers: asyncio.Future[None]) -> None:
        """Wait for a deletion, an eviction, the pod's deadline, or the end of all containers."""
        while not (self._deleted and self.node.alive) and self._evicted is None and not keepers.done():
            if self._past_deadline and self.node.alive:
                return
            await self._wait_for_change(keepers, seconds=self._deadline_left)
        if keepers.done() and not keepers.cancelled():
            keepers.result()

    async def _wait_for_change(self, *others: asyncio.Future[Any], seconds: float | None = None) -> None:
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self.node.wait_for_change())]
        try:
            await asyncio.wait([*waits, *others], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._changed.clear()

    @staticmethod
    async def _cancel(task: asyncio.Future[None]) -> None:
        task.cancel()
        await asyncio.wait([task])

    async def _keep_containers(self) -> None:
        self.publish()
        await asyncio.sleep(self._context.settings.container_start)
        await asyncio.gather(*map(self._keep, self.containers.values()))
        self._ended = True
        self.publish()

    async def _keep(self, container: Container) -> None:
        """Run a container again and again, as the pod's restart policy says."""
        policy = self.pod["spec"].get("restartPolicy", "Always")
        while True:
            await self.node.wait_until_alive()
            await container.start()
            self.publish()
            readiness = asyncio.ensure_future(self._make_ready(container))
            try:
                termination = await container.wait()
            finally:
                readiness.cancel()
            if policy == "Never" or (policy == "OnFailure" and termination.exit_code == 0):
                self.publish()
                return
            if container.restarts:
                container.waiting_reason = "CrashLoopBackOff"
                self.publish()
                await asyncio.sleep(self._context.settings.restart_backoff * 2 ** min(container.restarts - 1, 5))
            container.begin_again()

    async def _make_ready(self, container: Container) -> None:
        delay = self._context.settings.readiness if container.spec.get("readinessProbe") else 0
        await asyncio.gather(asyncio.sleep(delay), self._find_registry(container))
        await self._context.readiness_allowed.wait()
        container.ready = True
        self.publish()

    async def _find_registry(self, container: Container) -> None:
        await container.wait_until_serving()
        if address := container.registry_address:
            self._modify(
                lambda pod: pod["metadata"].setdefault("annotations", {}).update({ADDRESS_ANNOTATION: address}), None
            )

    async def _fail(self, reason: str, message: str) -> None:
        await self._wait_for_containers()

        def failed(pod: dict[str, Any]) -> None:
            self._report(pod, "Failed")
            pod["status"] |= {"reason": reason, "message": message}

        self._modify(failed)

    # --- its end

    async def _terminate(self) -> None:
        """preStop, SIGTERM, and SIGKILL when the grace is over; then the Pod's object goes."""
        deleted_at = asyncio.get_running_loop().time()
        ending = asyncio.ensure_future(self._end_gracefully())
        try:
            while not ending.done():
                grace = self.pod["metadata"].get("deletionGracePeriodSeconds", 0)
                left = deleted_at + grace - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                await self._wait_for_change(ending, seconds=left)
        finally:
            await self._cancel(ending)
        await self.node.wait_until_alive()
        await self._context.processes.kill_pod(self.uid)
        await self._wait_for_containers()
        self._ended = True
        self.publish()
        await asyncio.sleep(_REMOVAL_SECONDS)
        self._remove()

    async def _wait_for_containers(self) -> None:
        await asyncio.gather(*(container.wait_if_started() for container in self.containers.values()))

    async def _end_gracefully(self) -> None:
        await asyncio.gather(*map(self._end_container, self.containers.values()))

    async def _end_container(self, container: Container) -> None:
        if not container.running:
            return
        hook = container.spec.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        if hook:
            process = await container.spawn(hook)
            await process.communicate()
            await asyncio.sleep(self._context.settings.drain)
        await self.node.wait_until_alive()
        container.terminate()
        await container.wait_if_started()

    # --- what it reports

    def publish(self) -> None:
        """Write the pod's status as it is now, unless its node is lost."""
        phase = phase_of(list(self.containers.values()), self._ended)
        self._modify(lambda pod: self._report(pod, phase))

    def _report(self, pod: dict[str, Any], phase: str) -> None:
        report(
            pod["status"],
            list(self.containers.values()),
            phase=phase,
            pod_ip=self._pod_ip,
            host_ip=self.node.address,
            started_at=self._started_at,
        )

    def _modify(self, mutate: Callable[[dict[str, Any]], object], subresource: str | None = "status") -> None:
        if not self.node.alive:
            return
        try:
            self._context.store.modify("pods", self.name, self.namespace, mutate, subresource=subresource)
        except ApiError as error:
            log.debug("pod %s/%s not written: %s", self.namespace, self.name, error)

    def _remove(self) -> None:
        try:
            self._context.store.remove("pods", self.name, self.namespace)
        except ApiError as error:
            log.debug("pod %s/%s not removed: %s", self.namespace, self.name, error)
