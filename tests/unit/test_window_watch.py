"""Who looks after a window ends when the delete has ended, whatever comes at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from include.registry_prune.async_cluster import AsyncCluster
from include.registry_prune.window_watch import _Changes, end_tasks


class QuietCluster:
    """A cluster in which nothing changes."""

    async def config_changes(self, *, seconds: int) -> AsyncIterator[None]:
        await asyncio.sleep(seconds)
        yield

    pod_changes = config_changes


@pytest.mark.parametrize("steps", range(6))
def test_a_change_in_the_moment_of_the_cancellation_does_not_swallow_it(steps: int) -> None:
    """Guards the delete's end: swallowed, the watch went on for good, and the window stayed open."""

    async def watch(changes: _Changes) -> None:
        while True:
            await changes.wait(60)

    async def main() -> bool:
        async with _Changes(cast(AsyncCluster, QuietCluster())) as changes:
            task = asyncio.create_task(watch(changes))
            await asyncio.sleep(0.01)
            changes._changed.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            over = task.done()
            task.cancel()
            return over

    assert asyncio.run(main())


def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0.01)
        await asyncio.wait_for(end_tasks(task), 30)
        assert task.cancelled()

    asyncio.run(main())
    assert swallowed == 2
