"""The table of outcomes, on the terminal and in ``docs/faults.md``."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from faults.arena import CONDITIONS, IMAGES, LEASE_SECONDS, ORPHANS
from faults.fault import Outcome

_MARKS = {True: "✓", False: "✗", None: "n/a"}


def line(outcome: Outcome) -> str:
    """One line for the terminal."""
    marks = " ".join(_MARKS[outcome.conditions[each]] for each in CONDITIONS)
    text = (
        f"{'ok ' if outcome.good else 'BAD'} {marks}  run {outcome.run:8} closed by {outcome.closed_by:6} "
        f"read-only {outcome.read_only_seconds:5.1f} s  {outcome.fault}: {outcome.point}"
    )
    return "\n".join([text, *(f"      {remark}" for remark in outcome.remarks)])


def head() -> str:
    """What the marks of a line mean."""
    return f"The marks: {', '.join(CONDITIONS)}."


def section(outcomes: Sequence[Outcome], *, kind: str) -> str:
    """The part of the document for one kind of faults, between its marks.

    :param kind: ``in-process`` or ``processes``.
    """
    bad = [outcome for outcome in outcomes if not outcome.good]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    minutes = math.ceil(sum(each.seconds for each in outcomes) / 60)
    lines = [
        _begin(kind),
        f"## {_TITLES[kind]}",
        "",
        f"`make faults OPTIONS='--kind {kind} --write'`, {datetime.now(UTC):%Y-%m-%d}, {machine}, {minutes} minutes: "
        f"{len(outcomes)} faults, {len(outcomes) - len(bad)} ended as they must.",
        "",
        f"| fault | point | run | closed by | {' | '.join(CONDITIONS)} | read-only |",
        f"| --- | --- | --- | --- |{' --- |' * len(CONDITIONS)} ---: |",
        *(_row(each) for each in outcomes),
        "",
        *(f"- **{each.fault}, {each.point}**: {'; '.join(each.remarks)}" for each in bad),
    ]
    return "\n".join(lines).rstrip() + f"\n{_end(kind)}\n"


def _row(outcome: Outcome) -> str:
    marks = " | ".join(_MARKS[outcome.conditions[name]] for name in CONDITIONS)
    head = f"| {outcome.fault} | {outcome.point} | {outcome.run} | {outcome.closed_by}"
    return f"{head} | {marks} | {outcome.read_only_seconds:.1f} s |"


def write_section(document: Path, outcomes: Sequence[Outcome], *, kind: str) -> None:
    """Put the part into the document, in place of the one that is there."""
    begin, end = _begin(kind), _end(kind)
    text = document.read_text(encoding="utf-8") if document.exists() else _INTRODUCTION
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2].lstrip("\n") if found else ""
    parts = [before.rstrip(), section(outcomes, kind=kind).rstrip(), after.rstrip()]
    document.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _begin(kind: str) -> str:
    return f"<!-- {kind}: made, not written -->"


def _end(kind: str) -> str:
    return f"<!-- end of {kind} -->"


_TITLES = {
    "in-process": "Faults of the cluster, of connections, of persons",
    "processes": "Faults of Airflow's processes",
}
_INTRODUCTION = f"""# What happens when something goes wrong

`make faults` lets real runs meet faults and looks at the end. Each fault hits a run of its own, in a new sandbox with
two registry pods, {IMAGES} images and {ORPHANS} orphans, quick timings and a lease of {LEASE_SECONDS} s. The run's end
is awaited, and where it left the window open, the guard's. The run is the real DAG with all its retries; where it runs
in one process, the pauses between them are short. `make faults OPTIONS=--list` names the faults,
`--only PATTERN` chooses.

| column | true if at the end |
| --- | --- |
| closed by | who put the registry back: the run, the guard, a person; `-`: it was never read-only |
| read-write | `readOnly` is false and every pod, Terminating ones included, takes pushes |
| lease gone | the annotation is not there |
| no pruner | no `dockerregistry -prune` lives |
| images whole | every blob of every image is there with its digest, those that were pushed meanwhile included |
| no push beside | pushes are tried all the time, to every pod: none was accepted while a pruner deleted |
| as before | role binding, ImagePruner, pods, Jobs |
| read-only | how long the registry, or a pod of it, refused pushes |
"""
