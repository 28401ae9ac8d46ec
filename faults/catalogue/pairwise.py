"""Which combinations to try when all of them are too many: every pair of values stands in one at least (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

Pair = tuple[int, str, int, str]
"""Two values, each with the number of its factor."""


def pairs(factors: Sequence[Sequence[str]]) -> set[Pair]:
    """Every pair of values of two different factors."""
    return {
        (i, a, j, b) for i, j in combinations(range(len(factors)), 2) for a, b in product(factors[i], factors[j])
    }  # fmt: skip


def pairs_of(row: Sequence[str]) -> Iterator[Pair]:
    """The pairs that stand in a row."""
    return ((i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2))


def pairwise(factors: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows with a value of each factor, in which every pair of values of two factors stands.

    Two factors alone are all their combinations. Each further one gets, row by row, the value that brings most pairs
    that are still missing, and more rows for what is missing then ("in parameter order", Lei and Tai 1998).

    :param factors: at least two, the largest two first, each with values that differ.
    """
    rows = [list(row) for row in product(factors[0], factors[1])]
    for number in range(2, len(factors)):
        missing = {pair for pair in pairs(factors[: number + 1]) if pair[2] == number}
        for turn, row in enumerate(rows):
            values = factors[number]
            # From row to row another one comes first among equals: else the first ones would be used up.
            ordered = [*values[turn % len(values) :], *values[: turn % len(values)]]
            row.append(max(ordered, key=lambda value: len(missing.intersection(pairs_of([*row, value])))))
            missing.difference_update(pairs_of(row))
        while missing:
            rows.append(_row_for(missing, factors[: number + 1]))
            missing.difference_update(pairs_of(rows[-1]))
    return [tuple(row) for row in rows]


def _row_for(missing: set[Pair], factors: Sequence[Sequence[str]]) -> list[str]:
    """A row with as many of the missing pairs as one value of the last factor brings."""
    *_, value = min(missing)
    row = [values[0] for values in factors[:-1]]
    for i, a, _, b in sorted(missing):
        if b == value:
            row[i] = a
    return [*row, value]
