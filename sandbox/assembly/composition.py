"""All parts of a sandbox put together, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.assembly.bootstrap import create_objects, write_executables
from sandbox.assembly.credentials import Credentials
from sandbox.base.errors import SandboxError
from sandbox.base.names import (
    CLUSTER,
    CONFIGS,
    DEPLOYMENT,
    IMAGE_PRUNERS,
    NAMESPACE,
    POD_SELECTOR,
    PRUNER_CRON_JOB,
)
from sandbox.base.object_storage import KIND as S3
from sandbox.base.paths import StateDirectory
from sandbox.base.pod_folders import make_pod_folders, remove_pod_folders
from sandbox.base.settings import LOOPBACK, SandboxSettings
from sandbox.controllers.base import Controller
from sandbox.controllers.build import BuildController
from sandbox.controllers.operator.image_pruner import CRON_JOBS, ImagePrunerOperator
from sandbox.controllers.operator.registry_operator import RegistryOperator
from sandbox.controllers.operator.settled import is_settled
from sandbox.controllers.workloads.deployment import DEPLOYMENTS, DeploymentController
from sandbox.controllers.workloads.job import JobController
from sandbox.controllers.workloads.node_lifecycle import NodeLifecycle
from sandbox.controllers.workloads.replica_set import ReplicaSetController
from sandbox.controllers.workloads.scheduler import Scheduler
from sandbox.kubelet.containers.environment import ApiAddress
from sandbox.kubelet.kubelet import Kubelet
from sandbox.kubelet.node import Node
from sandbox.kubelet.processes import kill_everything
from sandbox.object_storage.bucket import ObjectStorage
from sandbox.real_registry.program import NOT_INSTALLED, SWITCHED_OFF
from sandbox.real_registry.server import RegistryServers
from sandbox.registry.objects import namespace_object
from sandbox.registry.verify.baseline import Baseline
from sandbox.server.access.certificates import server_context
from sandbox.server.application import build_application
from sandbox.server.faults import ApiFaults
from sandbox.server.listener import Listener
from sandbox.server.objects.store import Store
from sandbox.server.request_counts import RequestCounts

log = logging.getLogger(__name__)

AddRoutes = Callable[[web.Application], None]

_POLL_SECONDS = 0.05
_SAFE_ROOT = re.compile(r"/[\w./+@-]*")


class Cluster:
    """One running sandbox.

    :param state: its folder; made if it is not there.
    :raises SandboxError: the folder's path would have to be quoted in a shell; the settings want real registries and
        there is no ``docker-registry``.
    """

    def __init__(self, state: StateDirectory, settings: SandboxSettings) -> None:
        if not _SAFE_ROOT.fullmatch(str(state.root)):
            raise SandboxError(
                f"the state folder {state.root} has characters that a shell would take apart, and scripts in pods "
                "get it as it is: choose one of letters, digits and ./_+@- (option --state)"
            )
        state.root.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.settings = settings
        self.credentials = Credentials(state)
        self.store = Store()
        self.api_faults = ApiFaults()
        self.request_counts = RequestCounts()
        self.url = ""
        nodes = [Node(index) for index in range(settings.nodes)]
        self.authenticator = self.credentials.prepare()
        self.object_storage = ObjectStorage(state, settings) if settings.storage == S3 else None
        self.registries = RegistryServers.find(_serves(settings), state, self.store)
        self.kubelet = Kubelet(
            state, settings, self.store, nodes, self.authenticator.service_account_token, self.registries
        )
        self._nodes = nodes
        self._listener: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._operator_tasks: list[asyncio.Task[None]] = []

    # --- start and stop

    async def start(self, add_routes: AddRoutes) -> None:
        """Serve the API and start everything; the registry is not ready yet.

        :param add_routes: adds the sandbox's own paths to the API (:mod:`sandbox.assembly.control`).
        :raises SandboxError: the port is taken.
        """
        kill_everything(self.state.root)
        make_pod_folders(self.state)
        self.state.storage.mkdir(parents=True, exist_ok=True)
        if self.registries is not None:
            await self.registries.notifications.start()
        else:
            log.info("%s", self.registry_server)
        write_executables(self.state)
        storage = None if self.object_storage is None else self.object_storage.start()
        create_objects(self.store, self.settings, self._nodes, storage)
        port = await self._serve(add_routes)
        self.url = f"https://{LOOPBACK}:{port}"
        self.credentials.write_administrator_kubeconfig(self.url)
        address = ApiAddress(LOOPBACK, port, self.credentials.authority.decode())
        lag = self.settings.controller_lag
        controllers: list[Controller] = [
            DeploymentController(self.store, lag),
            ReplicaSetController(self.store, lag),
            JobController(self.store, lag, self.settings.job_backoff),
            BuildController(self.store, lag),
            Scheduler(self.store, lag),
        ]
        lifecycle = NodeLifecycle(self.store, self.settings, self._nodes)
        runs = [self.kubelet.run(address), lifecycle.run(), *(controller.run() for controller in controllers)]
        self._tasks = [asyncio.create_task(run) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_report_end)
        self.start_operator()

    async def stop(self) -> None:
        """End everything, every process in a pod included."""
        tasks = [*self._operator_tasks, *self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._listener is not None:
            await self._listener.stop()
        if self.registries is not None:
            await self.registries.notifications.stop()
        kill_everything(self.state.root)
        if self.object_storage is not None:
            self.object_storage.stop()
        remove_pod_folders(self.state)
        self.state.kubeconfig.unlink(missing_ok=True)

    async def _serve(self, add_routes: AddRoutes) -> int:
        application = build_application(
            self.store,
            self.authenticator,
            pods=self.kubelet,
            faults=self.api_faults,
            counts=self.request_counts,
        )
        add_routes(application)
        self._listener = Listener(application, server_context(self.credentials.tls_directory))
        return await self._listener.start(self.settings.port)

    # --- what it does and how it is

    def start_operator(self) -> None:
        """Start the registry's operator; nothing happens if it runs."""
        if not self.operator_running:
            controllers = [
                RegistryOperator(self.store, self.settings),
                ImagePrunerOperator(self.store, self.settings),
            ]
            self._operator_tasks = [asyncio.create_task(controller.run()) for controller in controllers]
            for task in self._operator_tasks:
                task.add_done_callback(_report_end)

    async def stop_operator(self) -> None:
        """Stop the registry's operator: nobody turns the Config into the Deployment any more."""
        for task in self._operator_tasks:
            task.cancel()
        if self._operator_tasks:
            await asyncio.wait(self._operator_tasks)
        self._operator_tasks = []

    async def stop_api_server(self) -> None:
        """The API server is gone: its socket is closed, every connection cut. Objects, pods and controllers live on."""
        if self._listener is not None:
            await self._listener.cut()

    async def start_api_server(self) -> None:
        """The API server is back, at the same address; nothing happens if it runs.

        :raises SandboxError: another program has taken the port.
        """
        if self._listener is not None:
            await self._listener.resume()

    @property
    def api_server_running(self) -> bool:
        """Whether the API server can be reached."""
        return self._listener is not None and self._listener.listening

    @property
    def operator_running(self) -> bool:
        """Whether the registry's operator runs."""
        return bool(self._operator_tasks)

    @property
    def registry_server(self) -> str:
        """What the registry pods run, for people."""
        if self.registries is not None:
            return f"the registry pods run {self.registries.program}"
        return SWITCHED_OFF if self.settings.real_registry is False else NOT_INSTALLED

    def create_in_namespace(self, resource: str, created: dict[str, Any]) -> None:
        """Create an object, and its namespace if that is not there.

        :raises ApiError: 409, it is there.
        """
        namespace = created["metadata"]["namespace"]
        if self.store.find("namespaces", namespace) is None:
            self.store.create("namespaces", namespace_object(namespace))
        self.store.create(resource, created)

    def settled(self) -> bool:
        """Whether every registry pod there is, Terminating ones included, is as the Config wants it."""
        config = self.store.get(CONFIGS, CLUSTER)
        found = self.store.find(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)
        pods = self.store.list("pods", NAMESPACE, labels=POD_SELECTOR)
        return is_settled(config, found.object if found else None, pods)

    async def wait_until_ready(self, seconds: float) -> None:
        """Return when the registry has come up and its operator has said so.

        :raises SandboxError: it has not in that time.
        """
        await self.wait_until_settled(seconds)
        while not self._installed():  # noqa: ASYNC110 - the operator is about to write it
            await asyncio.sleep(_POLL_SECONDS)

    def _installed(self) -> bool:
        conditions = self.store.get(CONFIGS, CLUSTER)["status"]["conditions"]
        progressing = next(found for found in conditions if found["type"] == "Progressing")
        return (
            progressing["status"] == "False"
            and self.store.find(CRON_JOBS, PRUNER_CRON_JOB, NAMESPACE) is not None
            and "conditions" in self.store.get(IMAGE_PRUNERS, CLUSTER).get("status", {})
        )

    async def wait_until_settled(self, seconds: float) -> None:
        """Return when the cluster is :meth:`settled`.

        :raises SandboxError: it is not in that time, or cannot be any more.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.settled():
                    self._check_parts()
                    await asyncio.sleep(_POLL_SECONDS)
                return
        pods = [
            f"{pod['metadata']['name']} ({pod['status'].get('phase')})"
            for pod in self.store.list("pods", NAMESPACE, labels=POD_SELECTOR)
        ]
        raise SandboxError(f"the registry has not settled within {seconds:g} s; its pods: {', '.join(pods) or 'none'}")

    def _check_parts(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise SandboxError(f"a part of the sandbox has ended: {error!r}") from error

    def record_baseline(self) -> None:
        """Keep how the cluster is now as what ``verify`` compares with."""
        Baseline.take(self.store.list).write(self.state)


def _serves(settings: SandboxSettings) -> bool | None:
    """Whether registry pods serve: not from a bucket."""
    if settings.storage != S3 or settings.real_registry is False:
        return settings.real_registry
    if settings.real_registry:
        raise SandboxError("real registries serve from a folder alone: choose another storage than s3, or none of them")
    return False


def _report_end(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the sandbox has ended: %r", error, exc_info=error)
