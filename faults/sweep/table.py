"""An outcome as a line on the terminal, and as a row of the table."""

from __future__ import annotations

from collections.abc import Sequence

from faults.fault import Outcome

NOT_LOOKED_AT = "·"
_MARKS = {True: "✓", False: "✗", None: NOT_LOOKED_AT}
_BEFORE_MARKS = ("fault", "point", "run", "closed by")
_AFTER_MARKS = ("read-only",)


def head_lines(conditions: Sequence[str]) -> tuple[str, str]:
    """The two lines above the rows."""
    return _join(
        _BEFORE_MARKS, conditions, _AFTER_MARKS
    ), f"|{' --- |' * (len(_BEFORE_MARKS) + len(conditions))} ---: |"


def conditions_of(head: str) -> tuple[str, ...] | None:
    """The conditions that the head of a table names; None if the line is no head."""
    cells = _cells(head)
    known = tuple(cells[: len(_BEFORE_MARKS)]) == _BEFORE_MARKS
    return tuple(cells[len(_BEFORE_MARKS) : -len(_AFTER_MARKS)]) if known else None


def with_conditions(line: str, had: Sequence[str], wanted: Sequence[str]) -> str:
    """A row with a mark for each condition that is looked at today, also one that was written when they were others.

    :param had: the conditions of its table's head.
    :raises ValueError: the row has not as many marks as its head has conditions.
    """
    cells = _cells(line)
    first, marks, last = cells[: len(_BEFORE_MARKS)], cells[len(_BEFORE_MARKS) : -1], cells[-1:]
    if len(marks) != len(had):
        raise ValueError(f"a row has {len(marks)} marks, and its table's head names {len(had)} conditions: {line}")
    by_name = dict(zip(had, marks, strict=True))
    return _join(first, [by_name.get(name, NOT_LOOKED_AT) for name in wanted], last)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _join(*cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell for some in cells for cell in some)} |"


def line(outcome: Outcome) -> str:
    """One line for the terminal."""
    marks = " ".join(_MARKS[value] for value in outcome.conditions.values())
    text = (
        f"{'ok ' if outcome.good else 'BAD'} {marks}  {outcome.seconds:5.1f} s  run {outcome.run:8} "
        f"closed by {outcome.closed_by:6} read-only {outcome.read_only_seconds:5.1f} s  "
        f"{outcome.fault}: {outcome.point}"
    )
    return "\n".join([text, *(f"      {remark}" for remark in outcome.remarks)])


def row(outcome: Outcome, conditions: Sequence[str]) -> str:
    """One row of the table."""
    first = (outcome.fault, outcome.point, outcome.run, outcome.closed_by)
    return _join(
        first, [_MARKS[outcome.conditions[name]] for name in conditions], [f"{outcome.read_only_seconds:.1f} s"]
    )


def remark(outcome: Outcome) -> str:
    """What is wrong, as an item of a list; empty if nothing is."""
    return "" if outcome.good else f"- **{outcome.fault}, {outcome.point}**: {'; '.join(outcome.remarks) or 'see row'}"
