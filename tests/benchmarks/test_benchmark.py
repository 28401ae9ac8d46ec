"""Which benchmarks there are, and their options."""

from __future__ import annotations

from benchmarks.benchmark import all_benchmarks, numbers


def test_every_benchmark_has_a_name_of_its_own_and_keys_among_its_columns() -> None:
    found = all_benchmarks()
    assert len({each.name for each in found}) == len(found)
    for each in found:
        assert set(each.keys) <= set(each.columns)


def test_numbers_of_an_option() -> None:
    assert numbers("1000,5_000_000") == (1000, 5_000_000)
