"""An outcome as a line on the terminal, and as a row of the table."""

from __future__ import annotations

from faults.ending import CONDITIONS
from faults.fault import Outcome

_MARKS = {True: "✓", False: "✗", None: "n/a"}
HEAD = (
    f"| fault | point | run | closed by | {' | '.join(CONDITIONS)} | read-only |",
    f"| --- | --- | --- | --- |{' --- |' * len(CONDITIONS)} ---: |",
)


def line(outcome: Outcome) -> str:
    """One line for the terminal."""
    marks = " ".join(_MARKS[outcome.conditions[each]] for each in CONDITIONS)
    text = (
        f"{'ok ' if outcome.good else 'BAD'} {marks}  {outcome.seconds:5.1f} s  run {outcome.run:8} "
        f"closed by {outcome.closed_by:6} read-only {outcome.read_only_seconds:5.1f} s  "
        f"{outcome.fault}: {outcome.point}"
    )
    return "\n".join([text, *(f"      {remark}" for remark in outcome.remarks)])


def head() -> str:
    """What the marks of a line mean."""
    return f"The marks: {', '.join(CONDITIONS)}."


def row(outcome: Outcome) -> str:
    """One row of the table."""
    marks = " | ".join(_MARKS[outcome.conditions[name]] for name in CONDITIONS)
    head = f"| {outcome.fault} | {outcome.point} | {outcome.run} | {outcome.closed_by}"
    return f"{head} | {marks} | {outcome.read_only_seconds:.1f} s |"


def remark(outcome: Outcome) -> str:
    """What is wrong, as an item of a list; empty if nothing is."""
    return "" if outcome.good else f"- **{outcome.fault}, {outcome.point}**: {'; '.join(outcome.remarks) or 'see row'}"
