"""A sandbox in this process, until a signal ends it.

What the cluster knows of images outlives ``down``: otherwise the storage that stays is all garbage at the next ``up``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from sandbox.assembly.composition import Cluster
from sandbox.assembly.control import Control
from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.base.proc_files import started_at
from sandbox.base.settings import SandboxSettings
from sandbox.command_line.service import START_SECONDS, instructions, lock_file
from sandbox.registry.storage.layout import BLOBS_ROOT
from sandbox.server.objects.store import Store

_RESOURCES = ("images.image.openshift.io", "imagestreams.image.openshift.io")
_IMAGES_LOST = (
    "NOTE: {storage} holds blobs, but the Images that name them were lost when the last sandbox was killed: to "
    "the pruner all of them are orphans. `down --purge` removes them.\n"
)


def serve(state: StateDirectory, settings: SandboxSettings) -> None:
    """Run a sandbox until SIGTERM or SIGINT.

    :raises SandboxError: one is up in that folder already; its port is taken; its registry does not come up.
    """
    state.root.mkdir(parents=True, exist_ok=True)
    with _locked(state):
        asyncio.run(_serve(state, settings))


@contextlib.contextmanager
def _locked(state: StateDirectory) -> Iterator[None]:
    with lock_file(state).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SandboxError(f"a sandbox is up already in {state.root}") from error
        lock.truncate(0)
        json.dump({"pid": os.getpid(), "started": started_at(os.getpid())}, lock)
        lock.flush()
        state.description.unlink(missing_ok=True)
        try:
            yield
        finally:
            state.description.unlink(missing_ok=True)
            lock.truncate(0)


async def _serve(state: StateDirectory, settings: SandboxSettings) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cluster = Cluster(state, settings)
    try:
        await cluster.start(Control(cluster).add_routes)
        note = "" if _restore_images(cluster.store, state) else _IMAGES_LOST.format(storage=state.storage)
        ready = asyncio.ensure_future(cluster.wait_until_ready(START_SECONDS + settings.readiness))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await ready
            cluster.record_baseline()
            description = {
                "pid": os.getpid(),
                "url": cluster.url,
                "settings": settings.to_json(),
                "note": f"{note}{cluster.registry_server[0].upper()}{cluster.registry_server[1:]}.\n",
            }
            _write_whole(state.description, json.dumps(description, indent=2) + "\n")
            print(instructions(state), flush=True)
            await stop.wait()
        _save_images(cluster.store, state)
    finally:
        await cluster.stop()


def _write_whole(path: Path, content: str) -> None:
    """Write a file that others wait for: it is there with all of its content or not at all."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)


def _file(state: StateDirectory) -> Path:
    return state.root / "images.json"


def _save_images(store: Store, state: StateDirectory) -> None:
    """Keep all Images and ImageStreams."""
    _file(state).write_text(json.dumps({resource: store.list(resource) for resource in _RESOURCES}))


def _restore_images(store: Store, state: StateDirectory) -> bool:
    """Put back what :func:`_save_images` kept, once.

    :returns: False if there is a storage whose images were lost, because the sandbox was killed. What was known of its
        content (the seeds) is forgotten too.
    """
    kept = _file(state)
    if not kept.exists():
        known = not (state.storage / BLOBS_ROOT.lstrip("/")).exists()
        state.seed_inventory.unlink(missing_ok=True)
        return known
    for resource, objects in json.loads(kept.read_text()).items():
        for obj in objects:
            store.create(resource, obj)
    kept.unlink()
    return True
