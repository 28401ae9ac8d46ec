"""What is watched while a run meets its fault."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from sandbox.cluster import Sandbox
from sandbox.names import CLUSTER, CONFIGS, READ_ONLY_VARIABLE

_LOOK_SECONDS = 0.05


def _refuses_pushes(pod: dict[str, Any]) -> bool:
    variables = {each["name"] for container in pod["spec"]["containers"] for each in container.get("env") or []}
    return READ_ONLY_VARIABLE in variables and pod["status"].get("phase") not in ("Failed", "Succeeded")


class ReadOnlyClock:
    """Measures how long the registry, or a pod of it, was read-only."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read-only clock", daemon=True)
        self.seconds = 0.0

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
            read_only = read_only or any(_refuses_pushes(pod) for pod in self._sandbox.registry_pods())
            now = time.monotonic()
            if read_only:
                self.seconds += now - last
            last = now
