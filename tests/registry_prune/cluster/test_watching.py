"""Who notices changes: it ends when it is told to, and asks for no watch without a pause."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import cast

import pytest

from include.registry_prune.cluster import watching
from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect, beside, end_tasks
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.requests import WATCH_CONFIG, WATCH_PODS, Request
from include.registry_prune.cluster.watching import changes_noticed, registry_changes
from tests.registry_prune.deletion.detached_pod import wait_for


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


class WatchesThatEndAtOnce:
    """A proxy that lets no watch live."""

    def __init__(self) -> None:
        self.begun = 0

    async def watch(self, request: Request) -> AsyncIterator[bytes]:
        self.begun += 1
        return
        yield


def test_a_watch_that_is_ended_at_once_is_begun_anew_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the API server, and the triggerer's core, from a loop without a pause."""
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 3600)
    cluster = WatchesThatEndAtOnce()

    async def main() -> None:
        async with changes_noticed(cast(AsyncCluster, cluster), (WATCH_CONFIG, WATCH_PODS), lambda: None):
            for _ in range(50):
                await asyncio.sleep(0)

    asyncio.run(main())
    assert cluster.begun == 2, "once for the Config, once for the pods"


def test_a_task_that_waits_learns_of_changes_as_they_happen(cluster: Cluster, account: object) -> None:
    """Guards the watches: without them it is woken after the ten minutes only."""
    with registry_changes(cluster) as wait_for_change:
        woken = threading.Event()

        def wait() -> None:
            wait_for_change(600)
            woken.set()

        for _ in range(3):  # what the beginning of each of the three watches tells
            wait_for_change(1)
        threading.Thread(target=wait, daemon=True).start()
        cluster.patch_config({"metadata": {"annotations": {"a": "b"}}})
        assert woken.wait(60)


def test_what_goes_on_beside_a_task_ends_with_it_and_holds_nothing_up(cluster: Cluster) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work(connect: Connect) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with beside(cluster.configuration, work):
        assert begun.wait(60)
        assert not ended.is_set()
    assert ended.wait(60)


def test_what_is_over_before_its_task_is_no_trouble(cluster: Cluster) -> None:
    before = set(threading.enumerate())

    async def work(connect: Connect) -> None:
        return

    with beside(cluster.configuration, work):
        wait_for(lambda: set(threading.enumerate()) <= before)
