"""What it takes to parse and store the DAGs of many clusters."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row, numbers

_EMPTY = Path(__file__).with_name("empty_dag.py")
_ENTRY = """\
cluster-{number}:
  connection: cluster-{number}
  schedule: "15 3 * * *"
  alert_connection: pager
"""
_AS_PROCESSOR, _AS_TASK = "dag-processor", "a task"


def _taken(file: Path, clusters: Path, as_who: str) -> dict[str, float]:
    words = [str(file), "--clusters", str(clusters)]
    words += ["--task", "registry_prune_cluster-0"] if as_who == _AS_TASK else []
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet.parse_file", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        clusters = Path(folder, "clusters.yaml")
        for number in (0, *options.clusters):
            entries = "".join(_ENTRY.format(number=each) for each in range(number))
            clusters.write_text(entries, encoding="utf-8")
            file = PROJECT / "dags" / "registry_prune.py" if number else _EMPTY
            for as_who in (_AS_PROCESSOR, _AS_TASK) if number else (_AS_PROCESSOR,):
                rounds = [_taken(file, clusters, as_who) for _ in range(options.parse_rounds)]
                figures = {name: median(each[name] for each in rounds) for name in rounds[0]}
                processor = as_who == _AS_PROCESSOR
                yield {
                    "clusters": number,
                    "file": file.name,
                    "parsed by": as_who,
                    "DAGs": int(figures["DAGs"]),
                    "parse, CPU s": figures["parse seconds"],
                    "serialize, CPU s": figures["serialize seconds"] if processor else None,
                    "stored, KB a DAG": figures["stored bytes"] / figures["DAGs"] / 1000 if processor else None,
                }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("parse")
    group.add_argument("--clusters", type=numbers, default=(1, 20, 200), help="in clusters.yaml (1,20,200)")
    group.add_argument("--parse-rounds", type=int, default=3, help="of which the median counts (%(default)s)")


BENCHMARK = Benchmark(
    name="parse",
    title="Many clusters in one file",
    about="""
`dags/registry_prune.py` with so many entries in `clusters.yaml`, beside a file with one DAG without tasks. The
dag-processor parses a file again and again (`min_file_process_interval`: every 5 minutes as recommended, every 30 s by
default) and stores what it made of each DAG; the process of each task parses it once, inside the window too. Each
figure is of a new process that has Airflow's modules in memory, as Airflow's have; the project's own modules are
imported each time.
""",
    columns=("clusters", "file", "parsed by", "DAGs", "parse, CPU s", "serialize, CPU s", "stored, KB a DAG"),
    keys=("clusters", "file", "parsed by"),
    measure=_measure,
    add_arguments=_add_arguments,
)
