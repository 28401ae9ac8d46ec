"""Sizes as the pruner prints them, and quantities as people write them."""

from __future__ import annotations

import pytest

from sandbox.registry.storage.sizes import bytes_size, parse_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (312, "312B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (23_378, "22.83KiB"),
        (3012 * 2045, "5.874MiB"),
        (3_044_058_071, "2.835GiB"),
        (7 * 1024**8, "7YiB"),
    ],
)
def test_sizes_have_four_significant_digits_as_in_the_transcripts(size: int, text: str) -> None:
    assert bytes_size(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 * 1024**2), ("2 GiB", 2 * 1024**3), ("1.5k", 1536), ("4096", 4096), ("7B", 7), ("1tb", 1024**4)],
)
def test_quantities_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2 gigs", "-1MiB", "MiB", "1,5MiB", "1e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
