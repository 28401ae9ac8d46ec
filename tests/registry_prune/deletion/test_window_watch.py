"""Who looks after a window: whose delete it ends, and what it does to a pod that it cannot look into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd
from include.registry_prune.cluster.registry_state import PodState
from include.registry_prune.cluster.requests import Request
from include.registry_prune.deletion import ending
from include.registry_prune.deletion.attempt_end import AttemptEnd
from include.registry_prune.deletion.window_watch import WindowWatch
from include.registry_prune.window.config_lease import lease_patch
from include.registry_prune.window.lease import DeleteAttempt, Holder, Lease, attempt_name

HOLDER = Holder(run="dag/run", token="run-2")
NEXT_RUN, NEXT_WINDOW = Holder(run="dag/next run", token="next-1"), Holder(run="dag/run", token="run-3")
ARMED = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPT = DeleteAttempt(
    number=1, name=attempt_name(HOLDER.token, 1), pod="pod", pod_uid="uid", begun_at=datetime.now(UTC)
)


class OneCluster:
    """A cluster as the test says; what is done to its pods is noted.

    :param lease: the lease on the Config.
    :param pods: the registry's.
    :param refuses: no exec reaches a pod.
    """

    def __init__(
        self, lease: Lease | None, *, read_only: bool = True, pods: list[PodState] | None = None, refuses: bool = False
    ) -> None:
        patch = lease_patch(lease) if lease else {"metadata": {}}
        self._config = {"metadata": {**patch["metadata"], "resourceVersion": "1"}, "spec": {"readOnly": read_only}}
        self._pods = pods or [running("pod", "uid"), running("other", "other uid")]
        self._refuses = refuses
        self.deleted: list[tuple[str, str, int]] = []
        self.execs: list[tuple[str, tuple[str, ...]]] = []
        self.renewals = 0

    async def watch(self, request: Request) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def config(self) -> dict[str, Any]:
        return self._config

    async def patch_config(self, *_: object, **__: object) -> None:
        self.renewals += 1

    async def pods(self) -> list[PodState]:
        return self._pods

    async def exec(self, pod: str, command: tuple[str, ...], *_: object, **__: object) -> ExecEnd:
        self.execs.append((pod, command))
        if self._refuses:
            raise ClusterError("exec in pod pod was refused: 500", 500)
        return ExecEnd(0, "exit status 0")

    async def delete_pod(self, name: str, *, uid: str, grace_seconds: int) -> None:
        self.deleted.append((name, uid, grace_seconds))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncCluster]:
        yield cast(AsyncCluster, self)


def running(name: str, uid: str, *, read_only: bool = True) -> PodState:
    return PodState(name=name, uid=uid, read_only=read_only, ready=True, phase="Running")


def lease(holder: Holder = HOLDER) -> Lease:
    times = {"armed_at": ARMED, "opened_at": ARMED, "expires_at": ARMED + timedelta(hours=1)}
    return Lease(holder=holder.run, token=holder.token, **times)


def looked_after(cluster: OneCluster) -> AttemptEnd:
    """The end of a delete in a window that is lost."""
    end = AttemptEnd(cluster.connect, ATTEMPT)

    async def main() -> None:
        await WindowWatch(cluster.connect, HOLDER, lease_seconds=900, end=end).watch()
        async with asyncio.timeout(5):
            await end.carry_out()

    asyncio.run(main())
    return end


@pytest.mark.parametrize("steps", range(6))
def test_a_change_in_the_moment_of_the_cancellation_does_not_swallow_it(steps: int) -> None:
    """Guards the delete's end: swallowed, the watch went on for good, and the window stayed open."""

    async def watch(window: WindowWatch) -> None:
        while True:
            await window._wait_for_change()

    async def main() -> bool:
        window = WindowWatch(AsyncMock(), HOLDER, lease_seconds=900, end=AttemptEnd(AsyncMock(), ATTEMPT))
        task = asyncio.create_task(watch(window))
        await asyncio.sleep(0.01)
        window._changed.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        over = task.done()
        task.cancel()
        return over

    assert asyncio.run(main())


LOST = {
    "no lease": OneCluster(None),
    "no lease, and no window": OneCluster(None, read_only=False),
    "set back": OneCluster(lease(), read_only=False),
    "a writable pod": OneCluster(lease(), pods=[running("pod", "uid"), running("new", "new uid", read_only=False)]),
    "the next run's window": OneCluster(lease(NEXT_RUN)),
    "the next window of the same run": OneCluster(lease(NEXT_WINDOW)),
}


@pytest.mark.parametrize("name", LOST)
def test_whatever_window_is_lost_only_its_own_delete_is_ended_in_its_own_pod(name: str) -> None:
    """Guards the delete of today from who followed yesterday's: a triggerer may have been suspended in between."""
    cluster = LOST[name]
    end = looked_after(cluster)
    assert end.why
    ((pod, command),) = cluster.execs
    assert pod == "pod"
    assert f"HARD_PRUNE_ATTEMPT={ATTEMPT.name} " in command
    assert not any("registry-prune.closing" in word for word in command), "others may begin there"
    assert (cluster.deleted, cluster.renewals) == ([], 0)


def test_of_a_delete_whose_pod_is_gone_nothing_is_left_to_be_ended() -> None:
    cluster = OneCluster(None, pods=[running("pod", "another of that name")])
    assert looked_after(cluster).why
    assert (cluster.execs, cluster.deleted) == ([], [])


def test_a_pod_that_cannot_be_looked_into_is_deleted_and_given_time_to_end() -> None:
    """Guards the grace: with 0 the pod's object is gone at once, whatever still runs on its node."""
    cluster = OneCluster(None, refuses=True)
    looked_after(cluster)
    ((name, uid, grace),) = cluster.deleted
    assert (name, uid) == ("pod", "uid")
    assert grace >= 1


def test_a_pod_that_may_have_the_delete_of_another_window_is_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "RETRY_SECONDS", 0.01)
    cluster = OneCluster(lease(NEXT_WINDOW), refuses=True)
    with pytest.raises(TimeoutError):
        looked_after(cluster)
    assert len(cluster.execs) > 1, "it is tried again"
    assert cluster.deleted == []


def test_an_unreadable_lease_ends_the_delete() -> None:
    cluster = OneCluster(None)
    cluster._config["metadata"]["annotations"] = {"registry-prune/lease": "nonsense"}
    assert "is no lease" in str(looked_after(cluster).why)
    assert cluster.execs
