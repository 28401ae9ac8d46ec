"""The loop that all controllers share: something changed, wait a little, look at the object, act."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from sandbox.base.names import CLUSTER
from sandbox.base.settings import Lag, SandboxSettings
from sandbox.server.errors import ApiError
from sandbox.server.objects.history import WatchEvent
from sandbox.server.objects.store import Store

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for what has none) and name of the object that a controller looks at."""

_RETRY_SECONDS = 0.5


def key_of(obj: dict[str, Any]) -> Key:
    """The key of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_of(obj: dict[str, Any]) -> dict[str, Any] | None:
    """The owner reference of the controller of an object, or None."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owner_reference(owner: dict[str, Any]) -> dict[str, Any]:
    """The reference to ``owner`` that makes it the controller of what carries it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(objects: Iterable[dict[str, Any]], owner: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the objects whose controller is ``owner``."""
    uid = owner["metadata"]["uid"]
    return [obj for obj in objects if (reference := controller_of(obj)) and reference["uid"] == uid]


class Controller(ABC):
    """Keeps objects as they should be.

    :param lag: from a change to the look at what it means; changes meanwhile are looked at together.
    """

    kind: ClassVar[str]
    """Kind of the objects that it looks at; changes of what they own lead to them."""
    watched: ClassVar[tuple[str, ...]]
    """Resources whose changes it follows, that of ``kind`` first."""

    def __init__(self, store: Store, lag: Lag) -> None:
        self.store = store
        self._lag = lag
        self._due: dict[Key, float] = {}
        self._arrived = asyncio.Event()

    @abstractmethod
    def reconcile(self, key: Key) -> float | None:
        """Look at an object and do one step.

        :returns: after how many seconds to look again even if nothing changes; None for never.
        """

    def keys(self, event: WatchEvent) -> list[Key]:
        """Which objects to look at after a change."""
        if event.resource == self.watched[0]:
            return [key_of(event.object)]
        owner = controller_of(event.object)
        if owner is not None and owner["kind"] == self.kind:
            return [(event.object["metadata"].get("namespace", ""), owner["name"])]
        return []

    async def run(self) -> None:
        """Follow changes until cancelled."""
        subscriptions = [self.store.subscribe(resource) for resource in self.watched]
        for obj in self.store.list(self.watched[0]):
            self.look_at(key_of(obj))
        try:
            async with asyncio.TaskGroup() as group:
                for subscription in subscriptions:
                    group.create_task(self._follow(subscription))
                group.create_task(self._work())
        finally:
            for subscription in subscriptions:
                subscription.close()

    def look_at(self, key: Key, after_seconds: float | None = None) -> None:
        """Have an object looked at.

        :param after_seconds: default is the controller's lag.
        """
        now = asyncio.get_running_loop().time()
        due = now + (self._lag.seconds() if after_seconds is None else after_seconds)
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._arrived.set()

    async def _follow(self, subscription: Any) -> None:
        async for event in subscription:
            for key in self.keys(event):
                self.look_at(key)

    async def _work(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            for key in [key for key, due in self._due.items() if due <= now]:
                del self._due[key]
                self._reconcile(key)
            wait = min(self._due.values(), default=None)
            self._arrived.clear()
            try:
                async with asyncio.timeout(None if wait is None else max(wait - now, 0)):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    def _reconcile(self, key: Key) -> None:
        try:
            again = self.reconcile(key)
        except ApiError as error:
            # Somebody else was faster, or a write was refused: look again at how things are now.
            log.info("%s %s: %s; trying again", self.kind, "/".join(key), error)
            again = _RETRY_SECONDS
        except Exception:
            log.exception("%s %s could not be looked at; trying again", self.kind, "/".join(key))
            again = _RETRY_SECONDS
        if again is not None:
            self.look_at(key, again)


class ClusterOperator(Controller):
    """A controller that keeps the one object called ``cluster``, and has the operator's lag."""

    def __init__(self, store: Store, settings: SandboxSettings) -> None:
        super().__init__(store, settings.operator_lag)
        self._settings = settings

    def keys(self, event: WatchEvent) -> list[Key]:
        """Every change leads to that one object."""
        return [("", CLUSTER)]
