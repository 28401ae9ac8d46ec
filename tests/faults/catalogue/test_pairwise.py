"""Every pair of values of two factors stands in some row, and there are hardly more rows than that needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faults.catalogue.pairwise import pairs, pairs_of, pairwise

factors = st.lists(st.integers(1, 7), min_size=2, max_size=4).map(
    lambda sizes: [[f"{number}" for number in range(size)] for size in sorted(sizes, reverse=True)]
)


@given(factors)
def test_every_pair_stands_in_some_row(chosen: list[list[str]]) -> None:
    rows = pairwise(chosen)
    assert {pair for row in rows for pair in pairs_of(row)} == pairs(chosen)
    assert len(rows) == len(set(rows))


@given(factors)
def test_there_are_not_many_more_rows_than_the_two_largest_factors_need(chosen: list[list[str]]) -> None:
    least = len(chosen[0]) * len(chosen[1])
    assert least <= len(pairwise(chosen)) <= 2 * least
