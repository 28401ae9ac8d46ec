"""Who follows a delete, against looks that the test writes: trouble is measured from the trouble on, lists are kept."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd, LineHandler, Stream
from include.registry_prune.cluster.registry_state import PodState
from include.registry_prune.deletion import follower as delete_follower
from include.registry_prune.deletion.follower import DeleteFollower
from include.registry_prune.deletion.handover import Delete, DeleteEnd, FollowSettings
from include.registry_prune.deletion.image_watch import ImageWatch
from include.registry_prune.deletion.window_watch import WindowWatch
from include.registry_prune.lists.artifacts import read_seal
from include.registry_prune.lists.deleted_list import DeletedList, DeletedListPlace
from include.registry_prune.pruner import progress
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.progress import DeleteProgress
from include.registry_prune.window.lease import DeleteAttempt, Holder

ENDED, CUT = ExecEnd(0, "exit status 0"), ExecEnd(None, "the connection was lost")
SUMMARY = base64.b64encode(b"Deleted 1 blobs\nFreed up 312B of disk space\n").decode()
Look = Callable[[LineHandler], Awaitable[ExecEnd]]


class Clock:
    """A clock that looks move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pod:
    """A cluster of one pod whose looks are the test's."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = list(looks)
        self.connections = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncCluster]:
        self.connections += 1
        yield cast(AsyncCluster, self)

    async def exec(self, pod: str, command: Sequence[str], on_line: LineHandler, *, limit_seconds: float) -> ExecEnd:
        return await self._looks.pop(0)(on_line)

    async def pods(self) -> list[PodState]:
        return [PodState(name="pod", uid="uid", read_only=True, ready=True, phase="Running")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(delete_follower, "time", clock)

    async def no_pause(seconds: float) -> None:
        clock.now += seconds

    async def whole(self: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "sleep", no_pause)
    monkeypatch.setattr(WindowWatch, "watch", whole)
    monkeypatch.setattr(ImageWatch, "watch", whole)
    return clock


def follower(
    pod: Pod, tmp_path: Path, *, patience: float = 1.0, tell: Callable[[DeleteProgress], object] = lambda _: None
) -> DeleteFollower:
    attempt = DeleteAttempt(number=1, name="n", pod="pod", pod_uid="uid", begun_at=datetime.now(UTC))
    settings = FollowSettings(follow_every=15, patience=patience, silence=0, lease=900)
    place = DeletedListPlace(configured=f"file://{tmp_path}", dag_id="d", run_id="r", task_id="t", server="s")
    deleted = DeletedList(place, attempt=1, pod="pod")
    delete = Delete(holder=Holder(run="d/r", token="t"), attempt=attempt, ends_by=datetime.now(UTC) + timedelta(days=1))
    return DeleteFollower(pod.connect, delete, settings, deleted, tell)


def follow(pod: Pod, tmp_path: Path, *, patience: float = 1.0) -> DeleteEnd:
    end = asyncio.run(follower(pod, tmp_path, patience=patience).follow())
    assert end is not None
    return end


def look(clock: Clock, *lines: str, seconds: float = 15.0, end: ExecEnd = ENDED) -> Look:
    """A look that prints these lines at its beginning and takes so long."""

    async def work(on_line: LineHandler) -> ExecEnd:
        for line in lines:
            on_line(Stream.STDOUT, line)
        clock.now += seconds
        return end

    return work


def last_look(clock: Clock) -> Look:
    return look(clock, f"out {SUMMARY}", "ended 0 .", seconds=0)


def test_a_look_that_is_cut_after_hours_of_good_ones_is_trouble_from_then_on(clock: Clock, tmp_path: Path) -> None:
    """The patience is no bound on how long a delete may be followed."""
    good = [look(clock, "running") for _ in range(5000)]
    cut = look(clock, seconds=0, end=CUT)
    end = follow(Pod([*good, cut, last_look(clock)]), tmp_path)
    assert end.result.complete


def test_nothing_known_for_longer_than_the_patience_is_an_unknown_end(clock: Clock, tmp_path: Path) -> None:
    pod = Pod([look(clock, "running"), *(look(clock, seconds=0.4, end=CUT) for _ in range(20))])
    end = follow(pod, tmp_path)
    assert end.result.exit_status is None
    assert "the cluster has told nothing of it for" in end.result.ended_how


def test_a_look_that_brings_something_and_overruns_its_time_is_not_nothing_known(clock: Clock, tmp_path: Path) -> None:
    late = [look(clock, "running", seconds=0.6, end=CUT) for _ in range(50)]
    assert follow(Pod([*late, last_look(clock)]), tmp_path).result.complete


def test_how_far_the_delete_is_is_told_while_it_works(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the page: it asks no cluster, and knows it from this alone."""
    line = b'{"level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/00/%064x"}\n'

    def deleted(segment: int, before: int) -> Look:
        head = b"counts %d 0 0 %d\n" % (before, before)
        data = base64.b64encode(head + b"".join(line % (before + number) for number in range(10))).decode()
        return look(clock, f"log {segment} 0 {data}")

    monkeypatch.setattr(progress, "TOLD_EVERY_SECONDS", 0.0)
    told: list[int] = []
    pod = Pod([deleted(1_000_000, 0), deleted(1_000_001, 10), last_look(clock)])
    asyncio.run(follower(pod, tmp_path, tell=lambda now: told.append(now.blobs)).follow())
    assert told[:2] == [10, 20]


def test_trouble_of_the_connection_itself_counts_too(clock: Clock, tmp_path: Path) -> None:
    async def refused(on_line: LineHandler) -> ExecEnd:
        raise ClusterError("the API server does not answer")

    end = follow(Pod([refused] * 20), tmp_path)
    assert "the cluster has told nothing of it for" in end.result.ended_how


def test_the_list_of_who_is_cancelled_can_be_read(clock: Clock, tmp_path: Path) -> None:
    """A triggerer that restarts cancels its triggers; the part that each leaves may hold hours of the list."""
    line = b'{"level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/00/%064x"}\n'
    data = base64.b64encode(b"counts 0 0 0 0\n" + b"".join(line % number for number in range(100))).decode()
    waits: Any = None

    async def forever(on_line: LineHandler) -> ExecEnd:
        waits.set()
        await asyncio.Event().wait()
        return ENDED

    async def cancel() -> None:
        nonlocal waits
        waits = asyncio.Event()
        pod = Pod([look(clock, f"log 1000000 0 {data}"), forever])
        task = asyncio.create_task(follower(pod, tmp_path).follow())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    (part,) = tmp_path.rglob("*.gz")
    assert read_seal(part.as_uri()).counts[LineKind.BLOB] == 100
    assert len(gzip.decompress(part.read_bytes()).splitlines()) >= 100
