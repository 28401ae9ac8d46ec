"""Sizes and durations: as the pruner prints them, as people type them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.units import format_count, format_seconds, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("312B", 312),
        ("22.83KiB", 23378),
        ("5.874MiB", 6159335),
        ("2.835 GiB", 3044058071),
        ("2GiB", 2 * 1024**3),
        ("1TiB", 1024**4),
        ("1PiB", 1024**5),
        ("1EiB", 1024**6),
        ("1kB", 1000),
        ("1.5 MB", 1_500_000),
        ("2GB", 2_000_000_000),
    ],
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "2", "GiB", "2 gigs", "2gib", "-1GiB", "+1GiB", "1e3B", "1,5GiB", ".5GiB", "1.GiB", "2  GiB", " 2GiB", "2GiB ",
     "2GiB\n", "٢GiB", "1GiB; rm -rf /", "9" * 16 + "B", "infB", "nanB", "1.1.1B", "0x10B"],
)  # fmt: skip
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not a size") + ".*500MiB or 2GiB"):
        parse_size(text)


@given(size=st.integers(0, 9999 * 1024**6))
def test_a_size_printed_and_read_again_is_the_same_in_four_digits(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size / 2000 + 0.5


@given(size=st.integers(0, 1023))
def test_bytes_are_printed_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(text=st.text(max_size=30))
def test_any_text_is_a_size_or_refused_as_a_value(text: str) -> None:
    with suppress(ValueError):
        assert parse_size(text) >= 0


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("60m", timedelta(hours=1)),
        ("1h30m", timedelta(minutes=90)),
        ("96h", timedelta(days=4)),
        ("1.5h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("2m250ms", timedelta(seconds=120, milliseconds=250)),
        ("1h1m1s1ms", timedelta(hours=1, minutes=1, seconds=1, milliseconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "60", "m", "60 m", "1d", "1w", "-60m", "60M", "1h 30m", "60m\n", "60m; rm -rf /", "$(reboot)m", "٦m", "1e3s",
     ".5h", "1000000h", "1h" * 5, "999999999h" * 30],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write for example 60m, 1h30m or 96h"):
        parse_duration(text)


@given(text=st.from_regex(r"([0-9]{1,7}(\.[0-9]{1,7})?(h|ms|m|s)){0,5}", fullmatch=True) | st.text(max_size=20))
def test_from_every_duration_a_point_in_time_can_be_reckoned(text: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with suppress(ValueError):
        assert now + parse_duration(text) >= now


@given(
    hours=st.integers(0, 999_999), minutes=st.integers(0, 999), seconds=st.integers(0, 999), thousandths=st.integers(0)
)
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, thousandths: int) -> None:
    thousandths %= 1000
    text = f"{hours}h{minutes}m{seconds}s{thousandths}ms"
    assert parse_duration(text) == timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=thousandths)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (10.4, "10 s"),
        (42, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (15_660, "4 h 21 min"),
        (173_000, "48 h 03 min"),
    ],
)
def test_a_time_span_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "singular", "text"),
    [
        (0, "blob", "0 blobs"),
        (1, "blob", "1 blob"),
        (3214, "orphaned blob", "3,214 orphaned blobs"),
        (2, "repository", "2 repositories"),
    ],
)
def test_a_count_with_its_noun(count: int, singular: str, text: str) -> None:
    assert format_count(count, singular) == text
