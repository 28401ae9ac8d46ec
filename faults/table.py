"""An outcome as a line on the terminal, and as a row of the table."""

from __future__ import annotations

from faults.ending import CONDITIONS
from faults.fault import Outcome

NOT_LOOKED_AT = "·"
_MARKS = {True: "✓", False: "✗", None: NOT_LOOKED_AT}
_FIRST_CONDITIONS = ("read-write", "lease gone", "no pruner", "images whole", "no push beside", "as before")
"""Of rows that were tried before the others were looked at."""
_BEFORE_MARKS = 4
HEAD = (
    f"| fault | point | run | closed by | {' | '.join(CONDITIONS)} | read-only |",
    f"| --- | --- | --- | --- |{' --- |' * len(CONDITIONS)} ---: |",
)


def of_width(line: str) -> str:
    """A row with a mark for each of today's conditions, also one that was written when there were fewer.

    :raises ValueError: this row has other conditions than any version had.
    """
    first, marks, last = _parts(line)
    if len(marks) == len(CONDITIONS):
        return line
    if len(marks) != len(_FIRST_CONDITIONS):
        raise ValueError(f"docs/faults.md has a row with {len(marks)} conditions: {line}")
    by_name = dict(zip(_FIRST_CONDITIONS, marks, strict=True))
    return _join(first, [by_name.get(name, NOT_LOOKED_AT) for name in CONDITIONS], last)


def _parts(line: str) -> tuple[list[str], list[str], list[str]]:
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return cells[:_BEFORE_MARKS], cells[_BEFORE_MARKS:-1], cells[-1:]


def _join(*cells: list[str]) -> str:
    return f"| {' | '.join(cell for some in cells for cell in some)} |"


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
