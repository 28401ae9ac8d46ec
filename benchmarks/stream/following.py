"""Many deletes followed at once by one triggerer: what it takes, and how late their tasks end."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row
from benchmarks.measuring import UsageOf, tree
from benchmarks.stream.played_clusters import SECONDS_PER_BLOB, PlayedClusters
from local_airflow.instance.airflow_instance import AirflowInstance, free_port
from local_airflow.instance.environment import AirflowSettings
from local_airflow.instance.rest import FINISHED_TASK_STATES, AirflowApi, wait_for
from local_airflow.interruption import Interruption

DAG = "following"
_MIB = 1 << 20
_PATIENCE_SECONDS = 1800.0
_PAGE = 100


class _Api(AirflowApi):
    """What this looks at beyond a user's tool."""

    def pool(self) -> dict[str, int]:
        """Slots of the pool that all tasks are in: ``running_slots``, ``queued_slots``, ``deferred_slots`` …"""
        found: dict[str, int] = self._request("GET", "/api/v2/pools/default_pool")
        return found

    def ends(self, run_id: str) -> dict[str, tuple[str, float | None]]:
        """State and end of each task, as seconds since the epoch."""
        path = f"{self._run_path(DAG, run_id)}/taskInstances"
        found: dict[str, tuple[str, float | None]] = {}
        while True:
            parameters = {"limit": str(_PAGE), "offset": str(len(found)), "order_by": "id"}
            page: list[dict[str, Any]] = self._request("GET", path, parameters=parameters)["task_instances"]
            for task in page:
                end = task["end_date"]
                found[task["task_id"]] = (str(task["state"]), datetime.fromisoformat(end).timestamp() if end else None)
            if len(page) < _PAGE:
                return found


@contextmanager
def _airflow(folder: Path, clusters: PlayedClusters, count: int) -> Iterator[tuple[_Api, int]]:
    """A real Airflow with the recommended settings, and the pid of its triggerer."""
    variables = {f"AIRFLOW_CONN_CLUSTER_{number}": clusters.connection(number) for number in range(count)}
    settings = AirflowSettings(
        home=folder / "airflow",
        project=PROJECT,
        dags_folder=PROJECT / "benchmarks" / "stream" / "dags",
        port=free_port(),
        overrides={
            **variables,
            "BENCHMARK_DELETES": str(count),
            "BENCHMARK_ARTIFACTS": (folder / "lists").as_uri(),
        },
    )
    instance = AirflowInstance(settings, folder, Interruption())
    with instance.healthy() as started:
        api = _Api(settings.url)
        _wait(lambda: api.knows_dag(DAG))
        api.unpause(DAG)
        yield api, next(each.pid for each in started if each.name == "triggerer")


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    count = options.deletes
    with (
        tempfile.TemporaryDirectory(prefix="registry-prune-benchmark-", ignore_cleanup_errors=True) as text,
        PlayedClusters(Path(text), count) as clusters,
        _airflow(Path(text).resolve(), clusters, count) as (api, triggerer),
    ):
        with UsageOf(tree(triggerer)) as empty:
            time.sleep(5)
        started = time.monotonic()
        run_id = api.trigger(DAG, {})
        _wait(lambda: api.pool()["deferred_slots"] == count)
        _say(f"{count} deletes are followed after {time.monotonic() - started:.0f} s")
        with UsageOf(tree(triggerer)) as steady:
            time.sleep(options.steady)
            slots = api.pool()
        ended = {}
        for number in range(count):
            ended[f"delete_{number}"] = clusters.end(number)
            time.sleep(options.spacing)
        _say("all deletes have ended")
        _wait(lambda: all(state in FINISHED_TASK_STATES for state, _ in api.ends(run_id).values()))
        ends = api.ends(run_id)
        bad = {task: state for task, (state, _) in ends.items() if state != "success"}
        if bad or len(ends) != count:
            raise ValueError(f"{len(ends)} tasks, of which these did not end well: {bad}")
        delays = [end - ended[task] for task, (_, end) in ends.items() if end is not None]
        yield {
            "deletes": count,
            "worker slots held": slots["running_slots"] + slots["queued_slots"],
            "triggerer without deletes, MiB": empty.usage.peak_bytes / _MIB,
            "with them, MiB": steady.usage.peak_bytes / _MIB,
            "CPU, % of a core": 100 * steady.usage.cpu_seconds / steady.usage.seconds,
            "without deletes, %": 100 * empty.usage.cpu_seconds / empty.usage.seconds,
            "end of pruner to end of task, median s": median(delays),
            "longest, s": max(delays),
        }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _wait(condition: Callable[[], bool]) -> None:
    wait_for(condition, _PATIENCE_SECONDS, pause_seconds=2.0)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("following")
    group.add_argument("--deletes", type=int, default=200, help="followed at once (%(default)s)")
    group.add_argument("--steady", type=float, default=60, help="seconds in which they are all followed (%(default)s)")
    group.add_argument("--spacing", type=float, default=2, help="seconds between two ends of pruners (%(default)s)")


BENCHMARK = Benchmark(
    name="following",
    title="Deletes followed at once",
    about=f"""
Each delete is of a cluster of its own, with a pruner that names a blob every {SECONDS_PER_BLOB:.0f} seconds. A real
Airflow with the recommended settings, of four processes with SQLite, on the same machine: the tasks are `hard_prune`
from the moment on in which it defers, the trigger and what comes after it are those of the project. The clusters are
played by a server that answers over TLS what following asks of an API server and of a shell in a pod, because two
hundred sandboxes do not fit into one machine. Memory is resident memory of the triggerer's processes, with what they
share counted for each. From the end of a pruner to the end of its task there is half a second at most until the shell
in the pod notices, and then the scheduler and a worker that starts; pruners end one after the other.
""",
    columns=(
        "deletes",
        "worker slots held",
        "triggerer without deletes, MiB",
        "with them, MiB",
        "CPU, % of a core",
        "without deletes, %",
        "end of pruner to end of task, median s",
        "longest, s",
    ),
    keys=("deletes",),
    measure=_measure,
    add_arguments=_add_arguments,
)
