"""A process that follows a quick delete beside many Images, all of them played: ``python -m …watched_delete``.

What is played is what the API server and the shell in the pod send; to make it up is taken off what is measured. There
is no network, and no list is written.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.exec_channels import ExecEnd, LineHandler, Stream
from include.registry_prune.cluster.registry_state import PodState
from include.registry_prune.cluster.requests import IMAGES, Request
from include.registry_prune.deletion.detached_delete import FIRST_SEGMENT
from include.registry_prune.deletion.follower import DeleteFollower
from include.registry_prune.deletion.handover import Delete, FollowSettings
from include.registry_prune.deletion.image_watch import ImageWatch
from include.registry_prune.deletion.tripwire import Trip, Tripwire
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.window.config_lease import lease_patch
from include.registry_prune.window.lease import DeleteAttempt, Holder, Lease, attempt_name

HOLDER = Holder(run="registry_prune/benchmark", token="watched-1")
LAYERS = 8
IMAGE_BYTES = 10_000
_TICK_SECONDS = 0.5


class _NoList:
    def add(self, kind: LineKind, subject: str) -> None:
        pass

    def flush(self) -> bool:
        return True

    async def close(self) -> bool:
        return True


class _Played:
    """A cluster with so many Images, and a pruner that names so many blobs a second once they are listed."""

    def __init__(self, lease: Lease, images: int, blobs_per_second: int, seconds: float) -> None:
        self._lease = lease
        self._images = images
        self._blobs_per_second = blobs_per_second
        self._ticks = int(seconds / _TICK_SECONDS)
        self.listed = asyncio.Event()
        self.played_seconds = 0.0

    @contextmanager
    def _played(self) -> Iterator[None]:
        began = time.process_time()
        yield
        self.played_seconds += time.process_time() - began

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncCluster]:
        yield cast(AsyncCluster, self)

    async def config(self) -> dict[str, Any]:
        metadata = {**lease_patch(self._lease)["metadata"], "resourceVersion": "1"}
        return {"metadata": metadata, "spec": {"readOnly": True}}

    async def patch_config(self, *_: object, **__: object) -> None:
        pass

    async def pods(self) -> list[PodState]:
        return [PodState(name="pod", uid="uid", read_only=True, ready=True, phase="Running")]

    async def watch(self, request: Request) -> AsyncIterator[bytes]:
        if request.path == IMAGES:
            self.listed.set()
        await asyncio.Event().wait()
        yield b""

    async def pages(self, _path: str, *, per_page: int) -> AsyncIterator[dict[str, Any]]:
        for first in range(0, self._images, per_page):
            with self._played():
                text = self._page(range(first, min(first + per_page, self._images)))
            yield json.loads(text)
            await asyncio.sleep(0)

    def _page(self, numbers: range) -> bytes:
        items = ",".join(_image(number) for number in numbers)
        return f'{{"metadata":{{"resourceVersion":"1"}},"items":[{items}]}}'.encode()

    async def exec(self, _pod: str, command: tuple[str, ...], on_line: LineHandler, **_: object) -> ExecEnd:
        await self.listed.wait()
        offset, started, began = 0, time.process_time(), time.monotonic()
        played = self.played_seconds
        blobs = int(self._blobs_per_second * _TICK_SECONDS)
        for tick in range(self._ticks):
            with self._played():
                line, size = _log_line(tick, blobs, offset)
            on_line(Stream.STDOUT, line)
            offset += size
            await asyncio.sleep(max(began + (tick + 1) * _TICK_SECONDS - time.monotonic(), 0))
        self.steady_seconds = time.monotonic() - began
        self.steady_cpu_seconds = time.process_time() - started - (self.played_seconds - played)
        summary = f"Deleted {blobs * self._ticks} blobs\nFreed up 1GiB of disk space\n"
        on_line(Stream.STDOUT, f"out {base64.b64encode(summary.encode()).decode()}")
        on_line(Stream.STDOUT, "ended 0 .")
        return ExecEnd(0, "exit status 0")


def _digest(kind: str, number: int) -> str:
    return "sha256:" + hashlib.sha256(f"{kind} {number}".encode()).hexdigest()


def _image(number: int) -> str:
    """As the API server has it: what counts, and as much beside it."""
    layers = [{"name": _digest("layer", LAYERS * number + place), "size": 1} for place in range(LAYERS)]
    image: dict[str, Any] = {
        "metadata": {"name": _digest("image", number)},
        "dockerImageMetadata": {"Id": _digest("config", number), "Config": {"Env": []}},
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageLayers": layers,
    }
    rest = (IMAGE_BYTES - len(json.dumps(image))) // 40
    environment = [f"VARIABLE_{place:04d}=a value of some length" for place in range(rest)]
    image["dockerImageMetadata"]["Config"]["Env"] = environment
    return json.dumps(image, separators=(",", ":"))


def _log_line(tick: int, blobs: int, offset: int) -> tuple[str, int]:
    lines = "".join(
        '{"go.version":"go1.26.6","level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/'
        f'{digest[7:9]}/{digest[7:]}","time":"2026-11-23T17:42:12.824173696Z"}}\n'
        for digest in (_digest("orphan", tick * blobs + number) for number in range(blobs))
    )
    data = (b"counts 0 0 0 0\n" if offset == 0 else b"") + lines.encode()
    return f"log {FIRST_SEGMENT} {offset} {base64.b64encode(data).decode()}", len(data)


async def _longest_block(cluster: _Played) -> float:
    """The longest CPU time, in seconds, in which the loop did not get on until all Images are listed."""
    longest = 0.0
    while not cluster.listed.is_set():
        began, played = time.process_time(), cluster.played_seconds
        await asyncio.sleep(0)
        longest = max(longest, time.process_time() - began - (cluster.played_seconds - played))
    return longest


async def _follow(options: argparse.Namespace) -> dict[str, float]:
    now = datetime.now(UTC)
    lease = Lease(
        holder=HOLDER.run, token=HOLDER.token, armed_at=now, opened_at=now, expires_at=now + timedelta(minutes=15)
    )
    attempt = DeleteAttempt(number=1, name=attempt_name(HOLDER.token, 1), pod="pod", pod_uid="uid", begun_at=now)
    cluster = _Played(lease, options.images, options.blobs_per_second, options.seconds)
    if options.without:
        cluster.listed.set()
    settings = FollowSettings(follow_every=3600, patience=60, silence=0, lease=900)
    delete = Delete(holder=HOLDER, attempt=attempt, ends_by=now + timedelta(days=1))
    follower = DeleteFollower(cluster.connect, delete, settings, _NoList())
    began = time.process_time()
    blocked = asyncio.create_task(_longest_block(cluster))
    following = asyncio.create_task(follower.follow())
    await cluster.listed.wait()
    listing = time.process_time() - began - cluster.played_seconds
    end = await following
    if end is None or not end.result.complete:
        raise ValueError(f"not followed to its end: {end}")
    return {
        "listing CPU seconds": listing,
        "longest block seconds": await blocked,
        "CPU share": cluster.steady_cpu_seconds / cluster.steady_seconds,
        "peak bytes": _peak_bytes(),
    }


def _peak_bytes() -> int:
    return int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) * 1024


def _do_without_tripwire() -> None:
    async def nothing(_watch: ImageWatch) -> None:
        await asyncio.Event().wait()

    def never(_tripwire: Tripwire, _blob: str) -> Trip | None:
        return None

    ImageWatch.watch = nothing  # type: ignore[assignment, method-assign]
    Tripwire.blob = never  # type: ignore[assignment, method-assign]


def main() -> None:
    """Follow once, and print what it took, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--blobs-per-second", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--without", action="store_true", help="without the tripwire")
    options = parser.parse_args()
    if options.without:
        _do_without_tripwire()
    print(json.dumps(asyncio.run(_follow(options))))


if __name__ == "__main__":
    main()
