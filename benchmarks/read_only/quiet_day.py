"""What a day with nothing to prune costs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmarks.benchmark import Benchmark, Row
from benchmarks.read_only.read_only_time import quiet_rows

QUIET_ORPHANS = 20


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A few orphans, fewer than the threshold."""
    yield from quiet_rows(options, QUIET_ORPHANS)


BENCHMARK = Benchmark(
    name="quiet_day",
    title="A day with nothing to prune",
    about=f"""
The same contestants with {QUIET_ORPHANS} orphans, below the threshold. This project looks before it opens a window; the
documentation looks inside it. `requests`: of the contestant to the cluster's API server.
""",
    columns=("timings", "nodes", "who", "runs", "read-only s", "rollouts", "requests", "wall s", "CPU s", "peak MiB"),
    keys=("timings", "nodes", "who"),
    measure=measure,
)
