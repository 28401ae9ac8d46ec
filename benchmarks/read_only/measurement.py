"""Runs of several contestants on one sandbox, and what each of them took."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Value
from benchmarks.contestants.contestant import MIN_BLOBS, Arena, Contestant
from benchmarks.contestants.observer import WindowObserver
from benchmarks.read_only.figures import spans
from benchmarks.read_only.usage import UsageMeter
from sandbox.base.names import CLUSTER, CONFIGS, IMAGE_PRUNERS
from sandbox.base.paths import StateDirectory
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan

IMAGES = 300
BYTES_AN_ORPHAN = 512
PUSH_PAUSE_SECONDS = 0.2
TIMINGS = {"quick": SandboxSettings.quick, "real": SandboxSettings.real}
SCAN_SECONDS, REMOVAL_SECONDS = 0.031, 0.105
"""For each blob, as published of a prune on Swift: 505,651 took 4 h 21 min to scan, and 14 h 43 min to remove."""
TIMES_AS_FAST = 200
"""As what was published is the storage that is played as ``slow``; else one run would take a night."""
SLOW = "slow"
_SETTLE_SECONDS = 300.0
_PREFIX = "registry-prune-bench-"
_MEMORY = Path("/dev/shm")
_STORAGE_BYTES = 6 * 2**30
"""Of 200,000 orphans, each with two folders and a page, and what a few runs leave; more than enough."""
_TORN = re.compile(r"^blob .*: it is missing .*@(sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Measured:
    """One run; times in seconds.

    :param uploads_accepted: by a registry, while the delete was at work; None without real registries.
    :param torn_images: that lack a blob now and did not before.
    :param rollouts: how often the registry's pods were replaced.
    :param requests: of the contestant to the API server.
    :param wall: from the begin to the end of the whole run.
    :param cpu: of all its processes; None if they are not measured, likewise ``peak_bytes``.
    """

    read_only: float
    rollout_time: float
    check: float
    delete: float
    overhead: float
    uploads_accepted: int | None
    torn_images: int
    rollouts: int
    requests: int
    wall: float
    cpu: float | None
    peak_bytes: int | None


@contextmanager
def arena(timings: str, nodes: int = 3) -> Iterator[Arena]:
    """A sandbox with images, gone at the end.

    :param timings: of its pods: ``quick`` or ``real``.
    :param nodes: with three, a rollout replaces one of the two pods after the other; with five both at once.
    """
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_storage_place()) as storage,
    ):
        state = StateDirectory(Path(folder) / "sandbox")
        state.root.mkdir()
        # A link: where /dev/shm stands in a pod's variables, the sandbox takes it for the pod's own.
        state.storage.symlink_to(storage)
        (Path(folder) / "arena").mkdir()
        with Sandbox(state.root, TIMINGS[timings](nodes=nodes)) as sandbox, WindowObserver(sandbox) as observer:
            sandbox.seed(SeedPlan(images=IMAGES, orphans=0, seed=1))
            yield Arena(sandbox, observer, Path(folder) / "arena")


def _storage_place() -> Path | None:
    """In memory, if there is room; None: on the disk.

    A registry's storage is not on the disk of Airflow's database and logs. On this one disk the same delete took from
    60 to 147 s, whoever did it.
    """
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free >= _STORAGE_BYTES else None


def run_once(there: Arena, contestant: Contestant, *, orphans: int, storage: str = "memory") -> Measured:
    """Let a contestant prune a registry with new orphans, while somebody pushes all the time.

    :param orphans: how many are made.
    :param storage: ``slow``: the orphans are made up, and the pruner takes its time for each.
    :raises RuntimeError: if it did not do its work: orphans are left although there was something to prune.
    """
    sandbox, observer = there.sandbox, there.observer
    there = replace(there, orphans=orphans)
    slow = storage == SLOW
    if orphans and not slow:
        seed = time.time_ns() // 1_000_000
        sandbox.seed(SeedPlan(images=0, orphans=orphans, seed=seed, size=orphans * BYTES_AN_ORPHAN))
    torn_before = torn_images(sandbox.verify().problems)
    with contestant.ready(there):
        sandbox.wait_until_settled(_SETTLE_SECONDS)
        pruners, windows, rollouts = len(sandbox.pruner_journal()), len(observer.windows), observer.rollouts
        sandbox.requests.clear()
        # Where the storage is on the disk: files that were never written to it are deleted in a fraction of the time;
        # the contestant that comes to its delete first would gain by that.
        os.sync()
        if slow:
            sandbox.order_pruner(slow_storage(orphans))
        with sandbox.pusher(PUSH_PAUSE_SECONDS) as pusher, UsageMeter(contestant.processes) as meter:
            started = time.monotonic()
            contestant.prune()
            wall = time.monotonic() - started
        requests = sandbox.requests.total(user=contestant.user)
        sandbox.wait_until_settled(_SETTLE_SECONDS)
    journal = sandbox.pruner_journal()[pruners:]
    taken = spans(observer.windows[windows:], journal)
    found = sandbox.verify()
    left = orphans - int(sandbox.state.made_up_deleted.read_text()) if slow else found.orphans_left
    sandbox.clear_faults()
    # An upload that the rollout interrupted leaves an orphan or two, also after the delete. On a quiet day all stay.
    if orphans >= MIN_BLOBS and left > orphans / 10 + 50:
        raise RuntimeError(f"{contestant.name} left {left} orphans")
    serves = bool(sandbox.registry_addresses())
    return Measured(
        read_only=taken.read_only,
        rollout_time=taken.rollouts,
        check=taken.check,
        delete=taken.delete,
        overhead=taken.overhead,
        uploads_accepted=len(pusher.accepted_while(journal)) if serves and pusher else None,
        torn_images=len(torn_images(found.problems) - torn_before),
        rollouts=observer.rollouts - rollouts,
        requests=requests,
        wall=wall,
        cpu=meter.usage.cpu_seconds if meter.usage else None,
        peak_bytes=meter.usage.peak_bytes if meter.usage else None,
    )


def slow_storage(orphans: int) -> PrunerFaults:
    """Orphans that are in no storage, and a pruner that takes as long for each as if they were in a slow one."""
    return PrunerFaults(
        seconds_per_blob=SCAN_SECONDS / TIMES_AS_FAST,
        seconds_per_deletion=REMOVAL_SECONDS / TIMES_AS_FAST,
        made_up_orphans=orphans,
        made_up_bytes=BYTES_AN_ORPHAN,
    )


def clear_up(there: Arena) -> None:
    """Take back what a contestant that failed has left: its lease would keep the next one out.

    A pruner that still lives ends with its pod.
    """

    def forget(found: dict[str, Any]) -> None:
        found["metadata"].pop("annotations", None)
        found["spec"].update(readOnly=False)

    def resume(found: dict[str, Any]) -> None:
        found["spec"].update(suspend=False)

    sandbox = there.sandbox
    sandbox.clear_faults()
    sandbox.call(lambda cluster: cluster.store.modify(CONFIGS, CLUSTER, None, forget))
    sandbox.call(lambda cluster: cluster.store.modify(IMAGE_PRUNERS, CLUSTER, None, resume))
    sandbox.wait_until_settled(_SETTLE_SECONDS)


def torn_images(problems: Iterable[str]) -> set[str]:
    """The images, by digest, of which ``sandbox verify`` misses a blob."""
    return {found[1] for problem in problems if (found := _TORN.search(problem))}


def median(measured: Sequence[Measured]) -> dict[str, Value]:
    """The median of each figure; what every run counted as None stays None."""
    rows = [asdict(each) for each in measured]
    return {
        name: None if any(row[name] is None for row in rows) else statistics.median(row[name] for row in rows)
        for name in rows[0]
    }
