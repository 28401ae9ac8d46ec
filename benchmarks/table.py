"""Rows as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.benchmark import Row, Value


def head_lines(columns: Sequence[str], example: Row) -> list[str]:
    """The two lines above the rows; figures stand at the right.

    :param example: a row, to tell figures from words.
    """
    rules = ["---" if isinstance(example.get(column), str) else "---:" for column in columns]
    return [f"| {' | '.join(columns)} |", f"| {' | '.join(rules)} |"]


def row_line(columns: Sequence[str], row: Row) -> str:
    """One row."""
    return f"| {' | '.join(shown(row.get(column)) for column in columns)} |"


def shown(value: Value) -> str:
    """A value as it stands in a table: figures with three digits that count, more than that only before the point."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
