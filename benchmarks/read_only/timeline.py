"""Where the seconds of one run's read-only window go."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.benchmark import Benchmark, Row
from benchmarks.contestants.airflow_run import DAG, AirflowRun
from benchmarks.contestants.contestant import Arena
from benchmarks.read_only.figures import Span, pruner_runs
from benchmarks.read_only.measurement import arena, run_once
from local_airflow.instance.rest import TaskInstance
from sandbox.server.request_counts import RequestKind

WIDTH = 60
FIRST, LAST = "set_read_only", "restore_read_write"
GAP = "(next task is found, queued, started)"


class TimedRun(AirflowRun):
    """A run that notes when it asked the cluster's API for something, and what its tasks were."""

    requests: list[float]
    tasks: list[TaskInstance]

    @contextmanager
    def ready(self, arena: Arena) -> Iterator[None]:
        """The times of the requests are noted from now on."""
        self.requests = []
        with super().ready(arena):
            arena.sandbox.requests.on_request = self._note
            yield
            arena.sandbox.requests.on_request = None
            self.tasks = self.api.task_instances(DAG, self.run_id)

    def _note(self, kind: RequestKind) -> None:
        if kind.user == self.user:
            self.requests.append(time.time())


@dataclass(frozen=True)
class Part:
    """One bar of the time line.

    :param span: in seconds since the epoch.
    """

    task: str
    what: str
    span: Span


def parts(tasks: Sequence[TaskInstance], requests: Sequence[float]) -> Iterator[Part]:
    """The tasks of the window and the gaps between them.

    :param requests: when the run asked the cluster for something.
    """
    known = {each.task_id: each for each in tasks if each.started is not None}
    names = [name for name in known if known[FIRST].started <= known[name].started <= known[LAST].started]  # type: ignore[operator]
    for name in names:
        task = known[name]
        begin, end = _span(task)
        own = [each for each in requests if begin <= each <= end]
        first, last = (own[0], own[-1]) if own else (begin, begin)
        yield Part(name, "process, DAG file, imports", (begin, first))
        yield Part(name, "work", (first, last))
        yield Part(name, "end", (last, end))
    for name, following in pairwise(names):
        yield Part(name, GAP, (_span(known[name])[1], _span(known[following])[0]))


def _span(task: TaskInstance) -> Span:
    assert task.started is not None
    assert task.seconds is not None
    begin = task.started.timestamp()
    return begin, begin + task.seconds


def bar(span: Span, whole: Span) -> str:
    """A span as a bar within the whole, for a font in which all characters are of one width."""
    scale = WIDTH / (whole[1] - whole[0])
    begin, end = (min(max(round((each - whole[0]) * scale), 0), WIDTH) for each in span)
    begin = min(begin, WIDTH - 1)
    length = max(end - begin, 1)
    return "`" + "·" * begin + "█" * length + "·" * (WIDTH - begin - length) + "`"


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """One run with quick pods, so that the rollouts do not hide the rest."""
    run = TimedRun(recommended=True)
    orphans = min(options.sizes)
    with arena("quick") as there:
        run_once(there, run, orphans=orphans)
        window = there.observer.windows[-1]
        journal = pruner_runs(there.sandbox.pruner_journal())
    assert window.closed_at is not None
    assert window.settled_at is not None
    assert window.reopened_at is not None
    whole = (window.opened_at, window.closed_at)
    found = [
        Part("cluster", "rollout to read-only", (window.opened_at, window.settled_at)),
        *(Part("cluster", f"-prune={mode}", span) for mode, span in journal if whole[0] < span[0] < whole[1]),
        Part("cluster", "rollout to read-write", (window.reopened_at, window.closed_at)),
        *parts(run.tasks, run.requests),
    ]
    for each in sorted(found, key=lambda part: part.span):
        yield {
            "task": each.task,
            "what": each.what,
            "from s": each.span[0] - whole[0],
            "seconds": each.span[1] - each.span[0],
            "time line": bar(each.span, whole),
        }


BENCHMARK = Benchmark(
    name="timeline",
    title="Where the seconds of a window go",
    about="""
One run of this project with quick pods and the recommended settings of Airflow. *cluster* is what the cluster does; the
rest is one row for each part of a task. *process, DAG file, imports*: from the start of a task's process to its first
request to the cluster; *end*: after its last request.
""",
    columns=("task", "what", "from s", "seconds", "time line"),
    keys=("task", "what"),
    measure=measure,
)
