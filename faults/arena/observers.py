"""What is watched while a run meets its fault."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from sandbox.base.names import CLUSTER, CONFIGS, READ_ONLY_VARIABLE
from sandbox.cluster import Sandbox

_LOOK_SECONDS = 0.05


def _refuses_pushes(pod: dict[str, Any]) -> bool:
    variables = {each["name"] for container in pod["spec"]["containers"] for each in container.get("env") or []}
    return READ_ONLY_VARIABLE in variables and pod["status"].get("phase") not in ("Failed", "Succeeded")


class WindowBlobs:
    """Knows which blobs went while the window was open.

    What is in the storage is noted as long as ``readOnly`` is wanted; the first delete is a settled registry and a dry
    run away then. A window that is opened anew begins anew: each run reports what its own window took.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._noted: set[str] = set()
        self._gone_before: set[str] = set()
        self._open = False

    def look(self, read_only: bool) -> None:
        """Note what is there now.

        :param read_only: whether the Config wants it.
        """
        if read_only and not self._open:
            self._gone_before |= self.gone()
            self._noted = set()
        self._open = read_only
        if read_only:
            self._noted |= self._sandbox.stored_digests()

    def forget(self) -> None:
        """The next window is another run's, and so its report. Only while no window is open."""
        self._gone_before, self._noted = set(), set()

    def gone(self) -> set[str]:
        """What was there in the last window, and is not any more."""
        return self._noted - self._sandbox.stored_digests()

    def gone_in_any(self) -> set[str]:
        """The same of all windows so far."""
        return self._gone_before | self.gone()


class ReadOnlyClock:
    """Measures how long the registry, or a pod of it, was read-only; notes which blobs there are meanwhile."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read-only clock", daemon=True)
        self.seconds = 0.0
        self.blobs = WindowBlobs(sandbox)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_LOOK_SECONDS):
            read_only = bool(self._sandbox.get_object(CONFIGS, CLUSTER)["spec"].get("readOnly"))
            self.blobs.look(read_only)
            read_only = read_only or any(_refuses_pushes(pod) for pod in self._sandbox.registry_pods())
            now = time.monotonic()
            if read_only:
                self.seconds += now - last
            last = now
