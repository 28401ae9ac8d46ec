"""A sandbox for tests: ``with Sandbox(directory) as sandbox: ...``."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sandbox.composition import Cluster
from sandbox.control import EVICTION_MESSAGE
from sandbox.errors import SandboxError
from sandbox.kubelet.exec_faults import ExecFault, ExecFaults
from sandbox.kubelet.pod_files import shared_memory_bytes
from sandbox.names import CLUSTER, CONFIGS, NAMESPACE, POD_SELECTOR
from sandbox.paths import StateDirectory
from sandbox.pruners import pruner_processes
from sandbox.server.faults import ApiFaults
from sandbox.server.request_counts import RequestCounts
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from sandbox.pusher import Pusher
    from sandbox.registry.faults import PrunerFaults
    from sandbox.registry.inventory import SeedInventory
    from sandbox.registry.seed import SeedPlan
    from sandbox.registry.verify import VerifyReport

Result = TypeVar("Result")

_CALL_SECONDS = 60.0
_START_SECONDS = 60.0
_JOIN_SECONDS = 0.1


class Sandbox:
    """A cluster in a thread of this process, with an event loop of its own.

    The methods may be called from any thread. At the end of the ``with`` block everything has stopped and every
    process of every pod has ended, whatever happened in between.

    :param directory: for the state folder; a test's ``tmp_path``.
    :param settings: default is :meth:`SandboxSettings.quick`.
    """

    def __init__(self, directory: Path, settings: SandboxSettings | None = None) -> None:
        self.state = StateDirectory(directory.resolve())
        self.settings = settings or SandboxSettings.quick()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cluster: Cluster | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    # --- start and stop

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._started.wait()
        except BaseException:
            self._end()
            raise
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        while self._thread.is_alive():
            # The loop may not be there yet, or not any more.
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._cluster = cluster = Cluster(self.state, self.settings)
        try:
            await cluster.start()
            stop = asyncio.ensure_future(self._stop.wait())
            ready = asyncio.ensure_future(cluster.wait_until_ready(_START_SECONDS + self.settings.readiness))
            await asyncio.wait([ready, stop], return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                await ready
                cluster.record_baseline()
                self._started.set()
                await stop
        finally:
            await cluster.stop()

    def _wait_for(self, coroutine: Coroutine[Any, Any, Result], seconds: float = _CALL_SECONDS) -> Result:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def call(self, function: Callable[[Cluster], Result]) -> Result:
        """Have the cluster's own thread call a function with the cluster, and return what it returns."""

        async def run() -> Result:
            return function(self.cluster)

        return self._wait_for(run())

    @property
    def cluster(self) -> Cluster:
        """All parts of the sandbox; to be touched from its own thread only (:meth:`call`)."""
        if self._cluster is None:
            raise SandboxError("this sandbox is not up: use it in a with statement")
        return self._cluster

    # --- how to reach it

    @property
    def url(self) -> str:
        """Of the API server."""
        return self.cluster.url

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster-admin."""
        return self.state.kubeconfig

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig for a service account."""
        return self.cluster.credentials.write_service_account_kubeconfig(self.url, namespace, name)

    # --- objects

    def get_object(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """An object as it is now (``configs.imageregistry.operator.openshift.io``, ``pods`` …).

        :raises ApiError: 404.
        """
        return self.call(lambda cluster: cluster.store.get(resource, name, namespace))

    def list_objects(
        self, resource: str, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]:
        """Objects as they are now."""
        return self.call(lambda cluster: cluster.store.list(resource, namespace, labels))

    def registry_pods(self) -> list[dict[str, Any]]:
        """The registry's pods, Terminating and failed ones included."""
        return self.list_objects("pods", NAMESPACE, POD_SELECTOR)

    def registry_addresses(self) -> dict[str, str]:
        """Pod to ``IP:PORT`` (plain HTTP) of every registry that answers, those in Terminating pods included.

        Empty if the pods idle: see ``SandboxSettings.real_registry``.
        """
        return self.call(lambda cluster: cluster.kubelet.registry_addresses())

    def pusher(self, interval: float = 0.05) -> Pusher:
        """Pushes to all of these, as long as it is entered as a context.

        :param interval: seconds between two rounds.
        """
        from sandbox.pusher import Pusher

        return Pusher(self.registry_addresses, self.pruner_journal, interval)

    def configure_registry(self, **changes: Any) -> dict[str, Any]:
        """Change fields of the ``spec`` of the registry's Config (``readOnly=True``, ``managementState="Removed"``)."""
        return self.call(
            lambda cluster: cluster.store.modify(CONFIGS, CLUSTER, None, lambda obj: obj["spec"].update(changes))
        )

    # --- storage

    def seed(self, plan: SeedPlan) -> SeedInventory:
        """Fill the registry."""
        from sandbox.registry.seed import seed

        return seed(self.state, plan)

    def verify(self) -> VerifyReport:
        """Look whether everything is as a run has to leave it."""
        from sandbox.registry.verify import verify

        return verify(self.state)

    # --- state

    def settled(self) -> bool:
        """Whether every registry pod, Terminating ones included, is as the Config wants it."""
        return self.call(lambda cluster: cluster.settled())

    def wait_until_settled(self, seconds: float = 30.0) -> None:
        """Return when the cluster is settled.

        :raises SandboxError: it is not in that time.
        """
        self._wait_for(self.cluster.wait_until_settled(seconds), seconds + _CALL_SECONDS)

    def pruners_alive(self) -> int:
        """How many hard pruners live in the pods, found in ``/proc``."""
        return len(pruner_processes(self.state.root))

    def pruner_journal(self) -> list[dict[str, Any]]:
        """A line for each start and each end of a hard pruner so far."""
        from sandbox.registry.journal import read_journal

        return read_journal(self.state.pruner_journal)

    def most_pruners_at_once(self) -> int:
        """How many hard pruners, of whatever mode and in whatever pods, have lived at the same moment at most."""
        from sandbox.registry.journal import most_at_once

        return most_at_once(self.pruner_journal())

    def shared_memory_bytes(self, pod: str, namespace: str = NAMESPACE) -> int:
        """What the files in a pod's ``/dev/shm`` take.

        :raises ApiError: 404, there is no such pod.
        """
        uid = self.get_object("pods", pod, namespace)["metadata"]["uid"]
        return shared_memory_bytes(self.state, uid)

    @property
    def requests(self) -> RequestCounts:
        """What the API server was asked."""
        return self.cluster.request_counts

    # --- faults

    @property
    def api_faults(self) -> ApiFaults:
        """Orders for faults of the API server; thread-safe."""
        return self.cluster.api_faults

    @property
    def exec_faults(self) -> ExecFaults:
        """Orders for faults of execs; thread-safe. See also :class:`ExecFault`."""
        return self.cluster.kubelet.exec_faults

    def order_exec(self, fault: ExecFault) -> None:
        """Put an order for the next execs in force."""
        self.exec_faults.add(fault)

    def order_pruner(self, faults: PrunerFaults) -> None:
        """Order the pruners that start from now on to do something wrong."""
        faults.write(self.state)

    def clear_faults(self) -> None:
        """Take back all orders for faults of the API, of execs and of pruners; readiness is allowed again."""
        self.api_faults.clear()
        self.exec_faults.clear()
        self.state.pruner_faults.unlink(missing_ok=True)
        self.allow_readiness()

    def stop_operator(self) -> None:
        """Stop the registry's operator."""
        self._wait_for(self.cluster.stop_operator())

    def start_operator(self) -> None:
        """Start the registry's operator."""
        self.call(lambda cluster: cluster.start_operator())

    def hold_readiness(self) -> None:
        """From now on no container becomes ready."""
        self.call(lambda cluster: cluster.kubelet.readiness_allowed.clear())

    def allow_readiness(self) -> None:
        """Containers become ready again, those that were held too."""
        self.call(lambda cluster: cluster.kubelet.readiness_allowed.set())

    def evict(self, pod: str, namespace: str = NAMESPACE, message: str = EVICTION_MESSAGE) -> None:
        """Evict a pod: its processes are killed, its phase is Failed, its object stays.

        :raises KeyError: no such pod runs.
        """
        self.call(lambda cluster: cluster.kubelet.evict(namespace, pod, message))

    def restart_container(self, pod: str, namespace: str = NAMESPACE, container: str | None = None) -> None:
        """Kill all processes of a pod's container at once, as when it is out of memory; the kubelet starts it anew.

        Returns when they have ended. The pod stays, and so do its ``/dev/shm`` and its emptyDirs; ``restartCount``
        rises when the container runs again.

        :param container: default is the pod's first one.
        :raises KeyError: no such pod runs, or it has no such container.
        """
        self._wait_for(self.cluster.kubelet.restart_container(namespace, pod, container))

    def lose_node(self, name: str, *, power_off: bool = False) -> None:
        """Nobody hears from a node any more.

        :param power_off: its processes end; otherwise they go on.
        """
        self._wait_for(self.cluster.kubelet.lose_node(name, power_off=power_off))

    def return_node(self, name: str) -> None:
        """The node is back."""
        self.call(lambda cluster: cluster.kubelet.return_node(name))
