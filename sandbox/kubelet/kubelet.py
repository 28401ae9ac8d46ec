"""The kubelets of all nodes: start and end pods as the API server's objects say, and answer exec and logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from aiohttp import web

from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.kubelet import channels
from sandbox.kubelet.containers.container import Container, serves_registry
from sandbox.kubelet.containers.environment import ApiAddress
from sandbox.kubelet.containers.logs import serve_log
from sandbox.kubelet.exec_faults import ExecFaults
from sandbox.kubelet.exec_session import ExecSession
from sandbox.kubelet.node import Node
from sandbox.kubelet.pod_status import POD_NETWORK
from sandbox.kubelet.pod_worker import PodContext, PodWorker
from sandbox.kubelet.processes import ProcessTable
from sandbox.real_registry.server import RegistryServers
from sandbox.server.backends import ExecCommand, KubeletRefusedError, KubeletUnreachableError
from sandbox.server.objects.history import DELETED
from sandbox.server.objects.store import Store

log = logging.getLogger(__name__)

_BUSY_SECONDS = 0.05
_IDLE_SECONDS = 0.5
_SESSION_END_SECONDS = 0.5
_FINISHED = ("Succeeded", "Failed")

ServiceAccountToken = Callable[[str, str], str]
"""Gives the token of a service account: namespace, name."""


class Kubelet:
    """All nodes' kubelets in one (implements :class:`sandbox.server.backends.PodBackend`).

    :param nodes: the nodes of the cluster.
    :param service_account_token: for the file in each pod.
    :param registries: makes registry pods serve; without it they idle.
    """

    def __init__(
        self,
        state: StateDirectory,
        settings: SandboxSettings,
        store: Store,
        nodes: Sequence[Node],
        service_account_token: ServiceAccountToken,
        registries: RegistryServers | None = None,
    ) -> None:
        self.exec_faults = ExecFaults()
        self.nodes = {node.name: node for node in nodes}
        self.processes = ProcessTable(state.root, zombies=settings.zombies)
        self.readiness_allowed = asyncio.Event()
        self.readiness_allowed.set()
        self._state = state
        self._settings = settings
        self._store = store
        self._service_account_token = service_account_token
        self._registries = registries
        self._address: ApiAddress | None = None
        self._workers: dict[str, PodWorker] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[ExecSession] = set()
        self._pod_numbers = count(2)

    # --- start and stop

    async def run(self, address: ApiAddress) -> None:
        """Follow the Pods until cancelled, then end everything that runs in them.

        :param address: where pods find the API server.
        """
        self._address = address
        subscription = self._store.subscribe("pods")
        watcher = asyncio.create_task(self._show_processes())
        self.processes.adopt_orphans(True)
        try:
            for pod in self._store.list("pods"):
                self._observe(pod)
            async for event in subscription:
                if event.type == DELETED:
                    await self._forget(event.object["metadata"]["uid"])
                else:
                    self._observe(event.object)
        finally:
            subscription.close()
            watcher.cancel()
            await self._stop()
            self.processes.adopt_orphans(False)

    async def _stop(self) -> None:
        await _end(self._lives.values())
        for worker in self._workers.values():
            await worker.destroy()
        self._workers.clear()
        # The commands are dead: their sessions end by themselves, unless a client does not let them.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_SESSION_END_SECONDS)
        await _end(self._tasks)

    def _observe(self, pod: dict[str, Any]) -> None:
        uid, node_name = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if uid in self._workers:
            self._workers[uid].update(pod)
        elif node_name in self.nodes and pod.get("status", {}).get("phase") not in _FINISHED:
            self._start(uid, self.nodes[node_name], pod)

    def _start(self, uid: str, node: Node, pod: dict[str, Any]) -> None:
        assert self._address is not None
        context = PodContext(
            self._state,
            self._settings,
            self._store,
            self.processes,
            self._address,
            self.readiness_allowed,
            self._registries,
        )
        namespace, account = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        token = self._service_account_token(namespace, account)
        worker = PodWorker(context, node, pod, self._new_address(pod), token)
        self._workers[uid] = worker
        self._lives[uid] = task = asyncio.create_task(worker.run(), name=f"pod {worker.name}")
        task.add_done_callback(_report_failure)

    def _new_address(self, pod: dict[str, Any]) -> str:
        if self._registries and any(map(serves_registry, pod["spec"]["containers"])):
            return self._registries.new_address()
        return str(POD_NETWORK[next(self._pod_numbers)])

    async def _forget(self, uid: str) -> None:
        worker, life = self._workers.get(uid), self._lives.pop(uid, None)
        if worker is None or life is None:
            return
        await _end([life])
        await worker.destroy()
        self._workers.pop(uid, None)

    def registry_addresses(self) -> dict[str, str]:
        """Pod to ``IP:PORT`` of every registry that answers, those in Terminating pods included."""
        return {
            worker.name: address
            for worker in self._workers.values()
            for container in worker.containers.values()
            if (address := container.registry_address)
        }

    # --- faults

    def evict(self, namespace: str, name: str, message: str) -> None:
        """End a pod as under node pressure.

        :raises KeyError: no such pod runs.
        """
        self._worker(namespace, name).evict(message)

    async def restart_container(self, namespace: str, name: str, container: str | None = None) -> None:
        """Kill everything in a container of a pod; returns when it has ended, and starts it anew.

        :param container: default is the pod's first one.
        :raises KeyError: no such pod runs, or it has no such container.
        """
        await self._worker(namespace, name).restart_container(container)

    async def lose_node(self, name: str, *, power_off: bool = False) -> None:
        """From now on nobody hears from the node's kubelet; open execs break.

        :param power_off: its processes end too; otherwise they go on.
        :raises KeyError: there is no such node.
        """
        node = self.nodes[name]
        node.set_alive(False)
        pods = [worker for worker in self._workers.values() if worker.node is node]
        for session in list(self._sessions):
            if any(session.pod_uid == worker.uid for worker in pods):
                session.abort()
        if power_off:
            for worker in pods:
                await self.processes.kill_pod(worker.uid)

    def return_node(self, name: str) -> None:
        """The node's kubelet is back and goes on.

        :raises KeyError: there is no such node.
        """
        node = self.nodes[name]
        node.set_alive(True)
        for worker in self._workers.values():
            if worker.node is node:
                worker.publish()

    def _worker(self, namespace: str, name: str) -> PodWorker:
        for worker in self._workers.values():
            if (worker.namespace, worker.name) == (namespace, name):
                return worker
        running = ", ".join(sorted(f"{worker.namespace}/{worker.name}" for worker in self._workers.values()))
        raise KeyError(f"no pod {namespace}/{name} runs; there are: {running or 'none'}")

    # --- PodBackend

    async def exec(
        self, request: web.Request, pod: dict[str, Any], container: str, command: ExecCommand
    ) -> web.StreamResponse:
        """Run a command in a container (see :class:`sandbox.server.backends.PodBackend`).

        With ``tty`` both output streams come as one; there is no terminal.
        """
        target = self._running_container(pod, container)
        fault = self.exec_faults.take(pod["metadata"]["name"], command.words)
        if fault is not None and fault.effect == "refuse":
            raise KubeletRefusedError(fault.message)
        session = ExecSession(request, pod["metadata"]["uid"], command.words, fault)
        outputs = channels.STDOUT if command.stdout else channels.STDERR if command.stderr else channels.ERROR
        await session.accept(outputs)
        self._link_processes()
        self._sessions.add(session)
        try:
            process = await target.spawn(command.words, stdin=command.stdin, merge_streams=command.tty)
        except OSError:
            self._sessions.discard(session)
            await session.refuse("executable file not found in $PATH")
            return session.socket
        self._link_processes()
        task = asyncio.create_task(
            session.serve(process, stdin=command.stdin, stdout=command.stdout, stderr=command.stderr)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._sessions.discard(session))
        task.add_done_callback(_report_failure)
        await session.wait_until_over()
        return session.socket

    async def logs(
        self,
        request: web.Request,
        pod: dict[str, Any],
        container: str,
        follow: bool,
        tail_lines: int | None,
    ) -> web.StreamResponse:
        """Answer with a container's log (see :class:`sandbox.server.backends.PodBackend`)."""
        self._reach_node(pod)
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is None:
            raise KubeletRefusedError(f'pod "{pod["metadata"]["name"]}" does not run on its node')
        return await serve_log(request, worker.name, worker.containers[container], follow, tail_lines)

    def _reach_node(self, pod: dict[str, Any]) -> None:
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is not None and not node.alive:
            raise KubeletUnreachableError(node.refusal)

    def _running_container(self, pod: dict[str, Any], name: str) -> Container:
        self._reach_node(pod)
        worker = self._workers.get(pod["metadata"]["uid"])
        container = worker.containers.get(name) if worker else None
        if container is None or not container.running:
            raise KubeletRefusedError(f'container not found ("{name}")')
        return container

    # --- the pods' /proc

    async def _show_processes(self) -> None:
        while True:
            busy = self._link_processes()
            await asyncio.sleep(_BUSY_SECONDS if busy else _IDLE_SECONDS)

    def _link_processes(self) -> bool:
        """Show each pod its processes; True if more runs than the containers' main processes."""
        self.processes.refresh()
        busy = bool(self._sessions)
        for worker in self._workers.values():
            pids = self.processes.of_pod(worker.uid)
            worker.files.link_processes(self.processes.shown_in_pod(worker.uid))
            busy = busy or len(pids) > len(worker.containers)
        return busy


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)


def _report_failure(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        if error := task.exception():
            log.error("%s ended: %r", task.get_name(), error, exc_info=error)
