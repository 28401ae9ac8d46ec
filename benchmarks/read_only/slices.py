"""A backlog that does not fit into one window: how long its windows are, and what being in slices costs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.benchmark import Benchmark, Row
from benchmarks.contestants.airflow_run import CONF, DAG, AirflowRun
from benchmarks.contestants.contestant import Arena
from benchmarks.read_only.figures import spans
from benchmarks.read_only.measurement import (
    PUSH_PAUSE_SECONDS,
    REMOVAL_SECONDS,
    SCAN_SECONDS,
    TIMES_AS_FAST,
    arena,
    slow_storage,
    torn_images,
)

ORPHANS = 50_000
WINDOWS = 5
_SECONDS_EACH = (SCAN_SECONDS + REMOVAL_SECONDS) / TIMES_AS_FAST
_LIMITS = {"quick": 22, "real": 118}
"""Of a window, in seconds: so that one slice deletes about a fifth, on a quick machine a quarter. Both rollouts, what
is kept for the way back, the tasks between, and the delete."""
_MOST_RUNS = 3 * WINDOWS


class SlicedRun(AirflowRun):
    """Runs, one after the other, until nothing is left.

    :param limit_seconds: the setting ``window_limit``.
    """

    def __init__(self, limit_seconds: int) -> None:
        super().__init__(recommended=True)
        self.name = "this project, in slices"
        self._settings = self._settings | {"window_limit": f"{limit_seconds}s"}
        self.reports: list[dict[str, object]] = []

    def prune(self) -> None:
        """Trigger runs until one has deleted the rest.

        :raises RuntimeError: if that takes three times as many runs as it should.
        """
        for _ in range(_MOST_RUNS):
            report = self.api.xcom(DAG, self._run(CONF), "report")
            self.reports.append(report)
            if report["outcome"] == "pruned":
                return
        raise RuntimeError(f"{_MOST_RUNS} runs were not enough: {self.reports[-1]['lines']}")


@dataclass(frozen=True)
class _Sliced:
    """What the windows of all runs were.

    :param uploads: accepted beside a delete.
    """

    windows: tuple[float, ...]
    rollouts: float
    deleted: int
    uploads: int
    torn: int


def _measure_once(there: Arena, run: SlicedRun) -> _Sliced:
    sandbox, observer = there.sandbox, there.observer
    torn_before = torn_images(sandbox.verify().problems)
    with run.ready(there):
        sandbox.wait_until_settled(180)
        pruners, windows = len(sandbox.pruner_journal()), len(observer.windows)
        sandbox.order_pruner(slow_storage(ORPHANS))
        with sandbox.pusher(PUSH_PAUSE_SECONDS) as pusher:
            run.prune()
        sandbox.wait_until_settled(180)
    journal = sandbox.pruner_journal()[pruners:]
    each = [spans([window], journal) for window in observer.windows[windows:]]
    sandbox.clear_faults()
    return _Sliced(
        windows=tuple(taken.read_only for taken in each),
        rollouts=sum(taken.rollouts for taken in each) / len(each),
        deleted=sum(int(str(report["deleted_blobs"])) for report in run.reports),
        uploads=len(pusher.accepted_while(journal)),
        torn=len(torn_images(sandbox.verify().problems) - torn_before),
    )


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """One backlog, in windows."""
    for timings in options.timings:
        limit = _LIMITS[timings]
        with arena(timings) as there:
            found = _measure_once(there, SlicedRun(limit))
        floor = len(found.windows) * found.rollouts + ORPHANS * _SECONDS_EACH
        yield {
            "timings": timings,
            "orphans": ORPHANS,
            "limit s": limit,
            "windows": len(found.windows),
            "longest s": max(found.windows),
            "all windows s": sum(found.windows),
            "to the floor": sum(found.windows) / floor,
            "deleted": found.deleted,
            "uploads beside the delete": found.uploads,
            "torn images": found.torn,
        }


BENCHMARK = Benchmark(
    name="slices",
    title="A backlog in slices",
    about=f"""
{ORPHANS:,} orphans on the slow storage, and a `window_limit` that lets one window delete about a fifth of them. Runs
follow one another until nothing is left, while somebody pushes all the time. The *floor* is both rollouts for each
window and the delete once, with nothing between; `deleted` counts what all reports say, and more than {ORPHANS:,} would
be something deleted twice (the last blob that a slice names may be named again by the next).
""",
    columns=(
        "timings", "orphans", "limit s", "windows", "longest s", "all windows s", "to the floor", "deleted",
        "uploads beside the delete", "torn images",
    ),
    keys=("timings", "orphans"),
    measure=measure,
)  # fmt: skip
