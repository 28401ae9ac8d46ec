"""A dry run of any size: this project's task beside ``kubectl exec … > file``, with the same stream."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from benchmarks.benchmark import Benchmark, Row, numbers
from benchmarks.measuring import run_measured
from include.registry_prune.pruner.dockerregistry import CHECK_COMMAND
from sandbox.base.names import NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults

_MIB = 1 << 20
_KUBECTL = Path(sys.executable).parent / "kubectl"
_LIMIT_SECONDS = 600


@dataclass(frozen=True)
class _Taken:
    seconds: float
    cpu_seconds: float
    peak_bytes: int


class _Contestant(Protocol):
    name: str

    def dry_run(self, lines: int) -> _Taken:
        """Do it once.

        :raises ValueError: if a line was lost.
        """


class _Kubectl:
    """What a person would type. The list comes on standard error."""

    name = "`kubectl exec … > file`"

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        pod = sandbox.registry_pods()[0]["metadata"]["name"]
        words = [_KUBECTL, f"--kubeconfig={sandbox.kubeconfig}", "exec", "-n", NAMESPACE, pod, "--", *CHECK_COMMAND]
        self._command = [str(word) for word in words]
        self._out, self.err = folder / "stdout", folder / "stderr"

    def dry_run(self, lines: int) -> _Taken:
        with self._out.open("wb") as out, self.err.open("wb") as err:
            usage = run_measured(self._command, stdout=out, stderr=err)
        said = self._out.read_text(encoding="utf-8").splitlines()[0]
        if said != f"Would delete {lines} blobs":
            raise ValueError(f"kubectl: {said!r} instead of {lines} blobs")
        return _Taken(usage.seconds, usage.cpu_seconds, usage.peak_bytes)


class _Task:
    """A process that does what the task does."""

    name = "this project"

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(sandbox.kubeconfig)}}
        self._environment = kept | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }

    def dry_run(self, lines: int) -> _Taken:
        command = [sys.executable, "-m", "benchmarks.stream.dry_run_task"]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
        if done.returncode != 0:
            raise ValueError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        figures = json.loads(done.stdout.splitlines()[-1])
        if figures["blobs"] != lines:
            raise ValueError(f"the task counted {figures['blobs']} blobs instead of {lines}")
        return _Taken(figures["seconds"], figures["cpu_seconds"], figures["peak_bytes"])


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="registry-prune-benchmark-") as text,
        Sandbox(Path(text) / "sandbox", SandboxSettings.quick(replicas=1, real_registry=False)) as sandbox,
    ):
        folder = Path(text)
        kubectl, task = _Kubectl(sandbox, folder), _Task(sandbox, folder)
        sandbox.order_pruner(PrunerFaults(made_up_orphans=0))
        empty = task.dry_run(0)
        for lines in options.lines:
            sandbox.order_pruner(PrunerFaults(made_up_orphans=lines))
            yield from _side_by_side(kubectl, task, lines, options.rounds, empty)


def _side_by_side(kubectl: _Kubectl, task: _Task, lines: int, rounds: int, empty: _Taken) -> Iterator[Row]:
    contestants: tuple[_Contestant, ...] = (kubectl, task)
    taken: dict[str, list[_Taken]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            taken[each.name].append(each.dry_run(lines))
    stream_bytes = kubectl.err.stat().st_size
    best = median(each.seconds for each in taken[kubectl.name])
    for each in contestants:
        seconds = median(one.seconds for one in taken[each.name])
        peak_bytes = max(one.peak_bytes for one in taken[each.name])
        yield {
            "lines": lines,
            "who": each.name,
            "seconds": seconds,
            "lines/s": int(lines / seconds),
            "MB/s": stream_bytes / seconds / 1e6,
            "throughput of kubectl's": best / seconds,
            "CPU seconds": median(one.cpu_seconds for one in taken[each.name]),
            "peak memory, MiB": peak_bytes / _MIB,
            "over an empty task, MiB": (peak_bytes - empty.peak_bytes) / _MIB if each is task else None,
        }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("dry_run and parsing")
    group.add_argument("--lines", type=numbers, default=(1_000_000, 5_000_000), help="(1000000,5000000)")
    group.add_argument("--rounds", type=int, default=3, help="of each; the median counts (%(default)s)")


BENCHMARK = Benchmark(
    name="dry_run",
    title="A dry run as a stream",
    about="""
The same stream of candidate lines, from the same pod of one sandbox, by turns: to a file by `kubectl exec`, and to a
checked, compressed list by this project, in a process that does what the task `survey` does, with Airflow, the hook
and the clients loaded. Seconds are those of the work: for `kubectl` its whole life, for the task from the choice of
the pod to the finished list; medians. An empty task is the same process with a dry run that lists nothing. The
sandbox and its pruner write the lines as fast as they can, on the same cores: a real pruner, which looks at a
storage, is slower by far.
""",
    columns=(
        "lines",
        "who",
        "seconds",
        "lines/s",
        "MB/s",
        "throughput of kubectl's",
        "CPU seconds",
        "peak memory, MiB",
        "over an empty task, MiB",
    ),
    keys=("lines", "who"),
    measure=_measure,
    add_arguments=_add_arguments,
)
