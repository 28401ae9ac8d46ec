"""How long the registry is read-only: this project, the documented procedure, and the limit, side by side."""

from __future__ import annotations

import argparse
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from benchmarks.benchmark import Benchmark, Row, Value, numbers
from benchmarks.contestants.airflow_run import AirflowRun
from benchmarks.contestants.by_hand import DocumentedProcedure, Limit
from benchmarks.contestants.contestant import Contestant
from benchmarks.read_only.measurement import (
    IMAGES,
    REMOVAL_SECONDS,
    SCAN_SECONDS,
    SLOW,
    TIMES_AS_FAST,
    TIMINGS,
    Measured,
    arena,
    clear_up,
    median,
    run_once,
)

_REPETITIONS = {"quick": 3, "real": 1}
_LARGE = 50_000
"""From this number of orphans on, each run is done once: it takes minutes, and runs differ by seconds."""
STORAGES = ("memory", SLOW)
_SLOW_SECONDS = (SCAN_SECONDS + REMOVAL_SECONDS) / TIMES_AS_FAST
_MIB = 2**20


def contestants(pattern: str | None) -> list[Contestant]:
    """The limit first: the others are compared with it.

    :param pattern: regular expression; only those whose name it matches.
    """
    every: list[Contestant] = [
        Limit(),
        AirflowRun(recommended=True),
        AirflowRun(recommended=True, by_list=True),
        AirflowRun(recommended=True, clusters=200),
        AirflowRun(recommended=True, scans_again=True),
        AirflowRun(recommended=False),
        DocumentedProcedure(careful=True),
        DocumentedProcedure(careful=False),
    ]
    return [each for each in every if re.search(pattern or "", each.name, re.IGNORECASE)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of both tables."""
    group = parser.add_argument_group("read_only, quiet_day and timeline")
    group.add_argument("--sizes", type=numbers, default=(3_000, 200_000), help="numbers of orphans (3000,200000)")
    group.add_argument(
        "--timings",
        type=_some_of(TIMINGS),
        default=tuple(TIMINGS),
        help="of the pods: quick, real or both (quick,real)",
    )
    group.add_argument("--nodes", type=numbers, default=(3,), help="of the cluster, such as 3,5 (3)")
    group.add_argument(
        "--storage", type=_some_of(STORAGES), default=STORAGES, help="of the registry, for large numbers (memory,slow)"
    )
    group.add_argument("--contestants", metavar="PATTERN", help="only contestants whose name this matches")
    group.add_argument("--repetitions", type=int, help="of each run; the median counts (quick 3, large or real 1)")


def _some_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names, with commas between them, of those that are known."""

    def chosen(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if not set(names) <= set(known):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(known)}")
        return names

    return chosen


def _runs(
    options: argparse.Namespace, timings: str, nodes: int, orphans: int, storage: str = "memory"
) -> Iterator[tuple[Contestant, list[Measured]]]:
    """A contestant with its runs so far, after each run; all on one sandbox. One that fails is left out."""
    chosen = contestants(options.contestants)
    measured: dict[str, list[Measured]] = {each.name: [] for each in chosen}
    with arena(timings, nodes) as there:
        for _ in range(options.repetitions or (1 if orphans >= _LARGE else _REPETITIONS[timings])):
            for contestant in chosen:
                if storage == SLOW and isinstance(contestant, AirflowRun) and contestant.by_list:
                    continue  # what is made up is in no storage
                try:
                    measured[contestant.name].append(run_once(there, contestant, orphans=orphans, storage=storage))
                except Exception:
                    traceback.print_exc()
                    clear_up(there)
                else:
                    yield contestant, measured[contestant.name]


def measure_windows(options: argparse.Namespace) -> Iterator[Row]:
    """Pruning days."""
    for timings, nodes, orphans, storage in product(options.timings, options.nodes, options.sizes, options.storage):
        if storage == SLOW and (orphans < _LARGE or timings == "quick"):
            continue  # there the storage has no say
        limit: float | None = None
        for contestant, runs in _runs(options, timings, nodes, orphans, storage):
            found = median(runs)
            if isinstance(contestant, Limit):
                limit = _number(found["read_only"])
            ratio = _number(found["read_only"]) / limit if limit else None
            yield (
                _row(timings, nodes, contestant, runs)
                | {"orphans": orphans, "storage": storage}
                | _window_columns(found, ratio)
            )


def quiet_rows(options: argparse.Namespace, orphans: int) -> Iterator[Row]:
    """Days with fewer orphans than the threshold."""
    for timings, nodes in product(options.timings, options.nodes):
        for contestant, runs in _runs(options, timings, nodes, orphans):
            yield _row(timings, nodes, contestant, runs) | {"rollouts": median(runs)["rollouts"]}


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return value


def _row(timings: str, nodes: int, contestant: Contestant, runs: list[Measured]) -> dict[str, Value]:
    found = median(runs)
    peak = found["peak_bytes"]
    return {
        "timings": timings,
        "nodes": nodes,
        "who": contestant.name,
        "runs": len(runs),
        "read-only s": found["read_only"],
        "wall s": found["wall"],
        "CPU s": found["cpu"],
        "peak MiB": None if peak is None else _number(peak) / _MIB,
        "requests": found["requests"],
    }


def _window_columns(found: dict[str, Value], ratio: float | None) -> dict[str, Value]:
    return {
        "to the limit": ratio,
        "rollouts s": found["rollout_time"],
        "check s": found["check"],
        "delete s": found["delete"],
        "overhead s": found["overhead"],
        "uploads beside the delete": found["uploads_accepted"],
        "torn images": found["torn_images"],
    }


BENCHMARK = Benchmark(
    name="read_only",
    title="Read-only time",
    about=f"""
A day with something to prune. One registry of two pods, {IMAGES} images, all contestants one after the other on the
same sandbox, while somebody pushes small images to every pod all the time. The registry's storage is in *memory*, if
there is room: it shares no disk with Airflow, and a delete takes as long for one as for the other. A *slow* storage is
played: the pruner takes {TIMES_AS_FAST} times less than was published of one on Swift
({1000 * SCAN_SECONDS:.0f} ms to scan a blob, {1000 * REMOVAL_SECONDS:.0f} ms more to remove it), so
{200_000 * _SLOW_SECONDS:.0f} s for 200,000 orphans. **Read-only** is
from the patch `readOnly: true` until no pod is read-only any more, as the sandbox itself sees it. Of these: both
rollouts; `-prune=check`; `-prune=delete`; **overhead** is all the rest. Timings *quick*: a rollout takes about a
second; *real*: readiness 15 s, `preStop` 25 s, as on a real cluster. Medians. The base prune is left out for all.

* *limit*: rollout, delete, rollout, with nothing between; the sandbox itself says when the registry has settled.
* *this project*: on a real Airflow (LocalExecutor, SQLite), with the settings of `deploy/values.yaml`, and with
  Airflow's defaults. *By the list*: with `delete_by: list`, whose pod and delete are in the overhead; a storage that is
  played slow cannot slow it, so it stands with the memory alone (for a bucket: [below](#by-the-list-from-a-bucket)).
  *200 clusters*: with so many entries in `clusters.yaml`. *With a second scan*: with `dry_run_in_window: always`, the
  documented order inside the window.
* *kubectl, as documented*: patch, `rollout status`, role, check, delete, patch, `rollout status`, as quickly as a
  script can, with up to three tries where a pod is taken away from under the pruner. `rollout status` right after the
  patch may tell of the rollout before: then check and delete run while the pods are being replaced, and what is pushed
  meanwhile is accepted, in a shorter time. *careful*: it waits first until the operator has changed the Deployment;
  still, pods that terminate take pushes. With three nodes a new pod needs the old one's place, and hardly any is left
  when `rollout status` ends; with five, both old ones may be.

*Uploads beside the delete* were accepted while it worked; *torn images* lack a blob after the run, though a registry
said that it had taken them. CPU time and memory are those of all Airflow processes; memory that they share counts
once. All of it takes about two hours; `--timings quick --sizes 3000` ten minutes.
""",
    columns=(
        *(
            "timings",
            "nodes",
            "orphans",
            "storage",
            "who",
            "runs",
            "read-only s",
            "to the limit",
            "rollouts s",
            "check s",
            "delete s",
        ),
        *("overhead s", "uploads beside the delete", "torn images", "wall s", "CPU s", "peak MiB", "requests"),
    ),
    keys=("timings", "nodes", "orphans", "storage", "who"),
    measure=measure_windows,
    add_arguments=add_arguments,
)
