"""Runs builds: they build nothing, but push at their end, and a read-only registry refuses that push."""

from __future__ import annotations

import asyncio
import http.client
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.base.names import ADDRESS_ANNOTATION, NAMESPACE, POD_SELECTOR
from sandbox.base.settings import Lag
from sandbox.controllers.base import Controller, Key
from sandbox.controllers.builds import BUILDS, SECONDS_ANNOTATION, internal_target
from sandbox.controllers.operator.settled import is_read_only
from sandbox.real_registry.pusher import SmallImage, push
from sandbox.registry.objects import REGISTRY_HOST
from sandbox.server.errors import ApiError
from sandbox.server.objects.metadata import timestamp
from sandbox.server.objects.store import Store

_ENDS_ANNOTATION = "sandbox/build-ends"
_SECONDS = 1.0
_PUSH_FAILED = "PushImageToRegistryFailed"
_PUSH_FAILED_MESSAGE = "Failed to push the image to the registry."


@dataclass(frozen=True)
class _Push:
    """How a push ended.

    :param digest: of the image; empty where the registry only idles.
    :param problem: why it was refused; empty if it was not.
    """

    digest: str = ""
    problem: str = ""


class BuildController(Controller):
    """Takes builds from New to Complete or Failed; one that was created Running is left alone."""

    kind = "Build"
    watched = (BUILDS,)

    def __init__(self, store: Store, lag: Lag) -> None:
        super().__init__(store, lag)
        self._pushes: dict[str, asyncio.Task[None]] = {}

    def reconcile(self, key: Key) -> float | None:
        """One step: New, Pending, Running, and the push when its time has come."""
        if self.store.find(BUILDS, key[1], key[0]) is None:
            return None
        build = self.store.get(BUILDS, key[1], key[0])
        phase = build.get("status", {}).get("phase") or "New"
        ends = (build["metadata"].get("annotations") or {}).get(_ENDS_ANNOTATION)
        if phase == "New":
            self._write(build, {"phase": "Pending"})
        elif phase == "Pending":
            self._begin(build)
        elif phase == "Running" and ends is not None:
            left = (datetime.fromisoformat(ends) - datetime.now(UTC)).total_seconds()
            if left > 0:
                return left
            self._push(build)
        return None

    def _begin(self, build: dict[str, Any]) -> None:
        seconds = float((build["metadata"].get("annotations") or {}).get(SECONDS_ANNOTATION, _SECONDS))
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        target = internal_target(build)
        status: dict[str, Any] = {"phase": "Running", "startTimestamp": timestamp()}
        if target is not None:
            status["outputDockerImageReference"] = f"{REGISTRY_HOST}/{':'.join(target)}"
        self._write(build, status, {_ENDS_ANNOTATION: ends})

    def _push(self, build: dict[str, Any]) -> None:
        uid = build["metadata"]["uid"]
        if uid not in self._pushes:
            self._pushes[uid] = task = asyncio.create_task(self._finish(build))
            task.add_done_callback(lambda _: self._pushes.pop(uid, None))

    async def _finish(self, build: dict[str, Any]) -> None:
        target = internal_target(build)
        done = _Push() if target is None else await self._try_push(*target)
        status: dict[str, Any] = {"phase": "Complete", "completionTimestamp": timestamp()}
        if done.problem:
            # A real one has the registry's own words in the log of its pod only.
            status |= {
                "phase": "Failed",
                "reason": _PUSH_FAILED,
                "message": _PUSH_FAILED_MESSAGE,
                "logSnippet": f"error: build error: Failed to push image: {done.problem}",
            }
        elif done.digest:
            status["output"] = {"to": {"imageDigest": done.digest}}
        started = datetime.fromisoformat(build["status"]["startTimestamp"])
        status["duration"] = int((datetime.now(UTC) - started).total_seconds() * 1e9)
        self._write(build, status)

    async def _try_push(self, repository: str, tag: str) -> _Push:
        """Push to one of the pods that the Service leads to: ready, and not on its way out."""
        pods = [pod for pod in self.store.list("pods", NAMESPACE, POD_SELECTOR) if _takes_requests(pod)]
        if not pods:
            return _Push(problem="no route to host: the registry has no ready pod")
        pod = random.choice(pods)
        address = (pod["metadata"].get("annotations") or {}).get(ADDRESS_ANNOTATION)
        if address is None:
            return _Push(problem="405 Method Not Allowed" if is_read_only(pod["spec"]) else "")
        image = SmallImage.make()
        try:
            status = await asyncio.to_thread(push, address, repository, tag, image)
        except (OSError, http.client.HTTPException) as error:
            return _Push(problem=repr(error))
        if status != http.client.CREATED:
            return _Push(problem=f"{status} {http.client.responses.get(status, '')}")
        return _Push(image.digest)

    def _write(self, build: dict[str, Any], status: dict[str, Any], annotations: dict[str, str] | None = None) -> None:
        """Change a build, unless another client has ended it meanwhile."""

        def change(obj: dict[str, Any]) -> None:
            if obj.get("status", {}).get("phase") == build.get("status", {}).get("phase"):
                obj.setdefault("status", {}).update(status)
                obj["metadata"].setdefault("annotations", {}).update(annotations or {})

        try:
            self.store.modify(BUILDS, build["metadata"]["name"], build["metadata"]["namespace"], change)
        except ApiError as error:
            if error.code != http.client.NOT_FOUND:
                raise


def _takes_requests(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
