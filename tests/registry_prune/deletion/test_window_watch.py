"""Who looks after a window: it ends when the delete has ended, and what it does to a pod that it cannot look into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import PodState
from include.registry_prune.deletion import window_watch
from include.registry_prune.deletion.window_watch import WindowWatch, _Changes, end_tasks


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
            await asyncio.wait([task], timeout=30)
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


class WatchesThatEndAtOnce(QuietCluster):
    """A proxy that lets no watch live."""

    def __init__(self) -> None:
        self.begun = 0

    async def config_changes(self, *, seconds: int) -> AsyncIterator[None]:
        self.begun += 1
        return
        yield

    pod_changes = config_changes


def test_a_watch_that_is_ended_at_once_is_begun_anew_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the API server, and the triggerer's core, from a loop without a pause."""
    monkeypatch.setattr(window_watch, "WATCH_PAUSE_SECONDS", 3600)
    cluster = WatchesThatEndAtOnce()

    async def main() -> None:
        async with _Changes(cast(AsyncCluster, cluster)):
            for _ in range(50):
                await asyncio.sleep(0)

    asyncio.run(main())
    assert cluster.begun == 2, "once for the Config, once for the pods"


class ClosedPod(QuietCluster):
    """The lease is gone, and no exec reaches the pod."""

    def __init__(self) -> None:
        self.deleted: list[tuple[str, str, int]] = []

    async def config(self) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "1"}, "spec": {"readOnly": True}}

    async def pods(self) -> list[PodState]:
        return [PodState(name="pod", uid="uid", read_only=True, ready=False, phase="Running")]

    async def exec(self, *_: object, **__: object) -> None:
        raise ClusterError("exec in pod pod was refused: 500", 500)

    async def delete_pod(self, name: str, *, uid: str, grace_seconds: int) -> None:
        self.deleted.append((name, uid, grace_seconds))


def test_a_pod_that_cannot_be_looked_into_is_deleted_and_given_time_to_end() -> None:
    """Guards the grace: with 0 the pod's object is gone at once, whatever still runs on its node."""
    cluster = ClosedPod()

    @asynccontextmanager
    async def connect() -> AsyncIterator[AsyncCluster]:
        yield cast(AsyncCluster, cluster)

    watch = WindowWatch(connect, holder="dag/run", lease_seconds=900)
    asyncio.run(watch.watch())
    assert watch.lost is not None
    ((name, uid, grace),) = cluster.deleted
    assert (name, uid) == ("pod", "uid")
    assert grace >= 1
