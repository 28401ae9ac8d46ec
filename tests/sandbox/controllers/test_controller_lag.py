"""A controller looks at what has changed after its lag, not at once."""

from __future__ import annotations

import asyncio
import contextlib

from sandbox.base.settings import Lag
from sandbox.controllers.base import Controller
from sandbox.server.objects.collection import Key
from sandbox.server.objects.store import Store

LAG_SECONDS = 0.3


class Looks(Controller):
    """Notes when it looks at which namespace."""

    kind = "Namespace"
    watched = ("namespaces",)

    def __init__(self, store: Store) -> None:
        super().__init__(store, Lag(LAG_SECONDS, LAG_SECONDS))
        self.seen: asyncio.Queue[tuple[float, Key]] = asyncio.Queue()

    def reconcile(self, key: Key) -> None:
        self.seen.put_nowait((asyncio.get_running_loop().time(), key))


async def test_a_change_is_looked_at_after_the_lag() -> None:
    store = Store()
    controller = Looks(store)
    running = asyncio.create_task(controller.run())
    try:
        for name in ("first", "second"):
            changed_at = asyncio.get_running_loop().time()
            store.create("namespaces", {"metadata": {"name": name}})
            looked_at, key = await controller.seen.get()
            assert key == ("", name)
            assert looked_at - changed_at >= LAG_SECONDS
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
