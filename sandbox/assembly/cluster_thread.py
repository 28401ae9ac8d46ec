"""A cluster in a thread of this process, with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sandbox.assembly.composition import Cluster
from sandbox.assembly.control import Control
from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings

Result = TypeVar("Result")

_CALL_SECONDS = 60.0
_START_SECONDS = 60.0
_JOIN_SECONDS = 0.1


class ClusterThread:
    """Runs a cluster from entering to leaving the ``with`` block.

    :param directory: for the state folder.
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
            await cluster.start(Control(cluster).add_routes)
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

    def wait_for(self, coroutine: Coroutine[Any, Any, Result], seconds: float = _CALL_SECONDS) -> Result:
        """Have the cluster's own loop run a coroutine, and return what it returns.

        :param seconds: how long it may take.
        """
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def call(self, function: Callable[[Cluster], Result]) -> Result:
        """Have the cluster's own thread call a function with the cluster, and return what it returns."""

        async def run() -> Result:
            return function(self.cluster)

        return self.wait_for(run())

    @property
    def cluster(self) -> Cluster:
        """All parts of the sandbox; to be touched from its own thread only (:meth:`call`)."""
        if self._cluster is None:
            raise SandboxError("this sandbox is not up: use it in a with statement")
        return self._cluster
