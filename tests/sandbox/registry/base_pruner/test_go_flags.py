"""Durations as Go reads and prints them."""

from __future__ import annotations

import pytest

from sandbox.registry.base_pruner.go_flags import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60m", 3600), ("1h30m", 5400), ("0", 0), ("1.5s", 1.5), ("250ms", 0.25), ("-2h", -7200), ("60m0s", 3600)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1 h", "1d", "60", "one hour", "--1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_duration(text)


def test_durations_are_printed_as_go_prints_them() -> None:
    assert [format_duration(seconds) for seconds in (0, 59, 60, 3600, 90_061)] == [
        "0s", "59s", "1m0s", "1h0m0s", "25h1m1s",
    ]  # fmt: skip
