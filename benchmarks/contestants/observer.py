"""When the registry was read-only: noted by the sandbox itself, the same for whoever made it so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from sandbox.assembly.composition import Cluster
from sandbox.base.names import CLUSTER, CONFIGS, DEPLOYMENT, NAMESPACE, POD_SELECTOR
from sandbox.cluster import Sandbox
from sandbox.controllers.operator.settled import is_read_only
from sandbox.controllers.workloads.deployment import DEPLOYMENTS

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Window:
    """One read-only window; all times are seconds since the epoch, None while it has not come to that.

    :param opened_at: ``spec.readOnly`` became true.
    :param settled_at: no pod took pushes any more, Terminating ones included.
    :param reopened_at: ``spec.readOnly`` became false.
    :param closed_at: no pod was read-only any more.
    """

    opened_at: float
    settled_at: float | None = None
    reopened_at: float | None = None
    closed_at: float | None = None


class WindowObserver:
    """Notes the windows of a sandbox from entering to leaving the ``with`` block.

    It runs on the sandbox's own loop and looks at each change of the Config, the Deployment and the pods: nothing is
    polled, and nothing is asked over HTTP.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._changed = threading.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._template_read_only: bool | None = None
        self.windows: list[Window] = []
        self.rollouts = 0
        """How often the pods were replaced."""

    def __enter__(self) -> Self:
        self._sandbox.call(self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sandbox.call(lambda _: [task.cancel() for task in self._tasks])

    def wait_for(self, condition: Callable[[Window], object], seconds: float) -> Window:
        """Return the latest window as soon as the condition is true of it.

        :raises TimeoutError: if it is not in that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self.windows) and bool(condition(self.windows[-1])), seconds):
                raise TimeoutError(f"waited {seconds:.0f} s in vain; the windows so far: {self.windows}")
            return self.windows[-1]

    def _start(self, cluster: Cluster) -> None:
        for resource in (CONFIGS, DEPLOYMENTS, "pods"):
            self._tasks.append(asyncio.create_task(self._follow(cluster, resource), name=f"window of {resource}"))
        self._look(cluster)

    async def _follow(self, cluster: Cluster, resource: str) -> None:
        subscription = cluster.store.subscribe(resource)
        try:
            async for _ in subscription:
                self._look(cluster)
        finally:
            subscription.close()

    def _look(self, cluster: Cluster) -> None:
        now = time.time()
        deployment = cluster.store.get(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)
        template = is_read_only(deployment["spec"]["template"]["spec"])
        if self._template_read_only not in (None, template):
            self.rollouts += 1
        self._template_read_only = template
        wanted = bool(cluster.store.get(CONFIGS, CLUSTER)["spec"].get("readOnly"))
        pods = [
            is_read_only(pod["spec"])
            for pod in cluster.store.list("pods", NAMESPACE, labels=POD_SELECTOR)
            if pod.get("status", {}).get("phase") not in _ENDED
        ]
        with self._changed:
            self._note(now, wanted, settled=cluster.settled(), read_only_pods=any(pods))
            self._changed.notify_all()

    def _note(self, now: float, wanted: bool, *, settled: bool, read_only_pods: bool) -> None:
        window = self.windows[-1] if self.windows else None
        if window is None or window.closed_at is not None:
            if wanted:
                self.windows.append(Window(now))
            return
        if wanted and settled and window.settled_at is None:
            window = replace(window, settled_at=now)
        if not wanted and window.reopened_at is None:
            window = replace(window, reopened_at=now)
        if not wanted and settled and not read_only_pods:
            window = replace(window, closed_at=now)
        self.windows[-1] = window
