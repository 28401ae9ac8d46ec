"""When a window may be opened: midnight, days of the week, changes of the clock, and the estimate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.settings.opening_hours import parse_opening_hours

BERLIN = "Europe/Berlin"
NIGHT = "22:00-05:00"
WEEK = "Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00"


def may_open(hours: str, zone: str, now: str, needs: float | None = None) -> bool:
    moment = datetime.fromisoformat(now)
    return parse_opening_hours(hours, zone).why_not(moment, needs_seconds=needs) is None


# 2026-11-23 is a Monday. Berlin is at UTC+1 in winter, at UTC+2 from 2026-03-29 to 2026-10-25.
@pytest.mark.parametrize(
    ("hours", "zone", "now", "expected"),
    [
        ("", "UTC", "2026-11-23T12:00:00Z", True),
        ("  ", BERLIN, "2026-11-23T12:00:00Z", True),
        # Over midnight.
        (NIGHT, "UTC", "2026-11-23T21:59:59Z", False),
        (NIGHT, "UTC", "2026-11-23T22:00:00Z", True),
        (NIGHT, "UTC", "2026-11-24T00:00:00Z", True),
        (NIGHT, "UTC", "2026-11-24T04:59:59Z", True),
        (NIGHT, "UTC", "2026-11-24T05:00:00Z", False),
        ("01:00-05:00", "UTC", "2026-11-23T01:00:00Z", True),
        ("01:00-05:00", "UTC", "2026-11-23T23:00:00Z", False),
        ("00:00-24:00", "UTC", "2026-11-23T23:59:59Z", True),
        ("22:00-24:00", "UTC", "2026-11-23T23:59:59Z", True),
        ("22:00-24:00", "UTC", "2026-11-24T00:00:00Z", False),
        ("22:00-00:00", "UTC", "2026-11-23T23:59:59Z", True),
        # The zone.
        (NIGHT, BERLIN, "2026-11-23T21:00:00Z", True),
        (NIGHT, BERLIN, "2026-11-23T20:59:00Z", False),
        (NIGHT, BERLIN, "2026-07-23T20:00:00Z", True),
        (NIGHT, BERLIN, "2026-07-24T03:00:00Z", False),
        (NIGHT, "Asia/Kolkata", "2026-11-23T16:30:00Z", True),
        (NIGHT, BERLIN, "2026-11-23T16:30:00-05:00", True),
        # A day is the one that the hours begin on.
        ("Fri 22:00-05:00", "UTC", "2026-11-27T23:00:00Z", True),
        ("Fri 22:00-05:00", "UTC", "2026-11-28T04:00:00Z", True),
        ("Fri 22:00-05:00", "UTC", "2026-11-28T23:00:00Z", False),
        ("Fri 22:00-05:00", "UTC", "2026-11-27T04:00:00Z", False),
        ("Sun 22:00-05:00", "UTC", "2026-11-23T04:00:00Z", True),
        ("Mon-Fri 22:00-05:00", "UTC", "2026-11-23T04:00:00Z", False),
        ("Mon,Wed 22:00-05:00", "UTC", "2026-11-25T23:00:00Z", True),
        ("Mon,Wed 22:00-05:00", "UTC", "2026-11-24T23:00:00Z", False),
        ("Sat-Mon 22:00-23:00", "UTC", "2026-11-29T22:30:00Z", True),
        ("Sat-Mon 22:00-23:00", "UTC", "2026-11-24T22:30:00Z", False),
        (WEEK, "UTC", "2026-11-28T12:00:00Z", True),
        (WEEK, "UTC", "2026-11-27T12:00:00Z", False),
        ("Sun 23:00-01:00", BERLIN, "2026-11-29T22:30:00Z", True),
        # Summer time begins: 02:00 becomes 03:00 at 01:00 UTC.
        ("02:30-04:00", BERLIN, "2026-03-29T01:15:00Z", False),
        ("02:30-04:00", BERLIN, "2026-03-29T01:30:00Z", True),
        ("02:30-03:15", BERLIN, "2026-03-29T01:20:00Z", False),
        ("22:00-05:00", BERLIN, "2026-03-29T02:59:00Z", True),
        ("22:00-05:00", BERLIN, "2026-03-29T03:00:00Z", False),
        # Summer time ends: 03:00 becomes 02:00 at 01:00 UTC, and the hour from 02:00 comes twice.
        ("22:00-02:30", BERLIN, "2026-10-25T00:29:00Z", True),
        ("22:00-02:30", BERLIN, "2026-10-25T00:31:00Z", False),
        ("22:00-02:30", BERLIN, "2026-10-25T01:15:00Z", False),
        ("02:30-04:00", BERLIN, "2026-10-25T00:31:00Z", True),
        ("02:30-04:00", BERLIN, "2026-10-25T01:15:00Z", True),
    ],
)
def test_whether_a_window_may_be_opened(hours: str, zone: str, now: str, expected: bool) -> None:
    assert may_open(hours, zone, now) is expected


@pytest.mark.parametrize(
    ("hours", "now", "needs", "expected"),
    [
        (NIGHT, "2026-11-23T22:00:00Z", 7 * 3600, True),
        (NIGHT, "2026-11-23T22:00:00Z", 7 * 3600 + 1, False),
        (NIGHT, "2026-11-24T04:30:00Z", 1800, True),
        (NIGHT, "2026-11-24T04:30:01Z", 1800, False),
        (NIGHT, "2026-11-24T04:30:00Z", 0, True),
        # Hours that touch are one: from Friday 22:00 to Monday 00:00.
        ("Fri 22:00-24:00; Sat,Sun 00:00-24:00", "2026-11-27T22:00:00Z", 50 * 3600, True),
        ("Fri 22:00-24:00; Sat,Sun 00:00-24:00", "2026-11-27T22:00:00Z", 50 * 3600 + 1, False),
        ("20:00-23:00; 22:00-01:00", "2026-11-27T20:00:00Z", 5 * 3600, True),
        ("00:00-24:00", "2026-11-27T20:00:00Z", 30 * 24 * 3600, True),
        ("00:00-24:00", "2026-11-27T20:00:00Z", 1e300, True),
        (NIGHT, "2026-11-27T22:00:00Z", 1e300, False),
        ("", "2026-11-27T22:00:00Z", 1e300, True),
    ],
)
def test_the_delete_has_to_end_within_the_hours(hours: str, now: str, needs: float, expected: bool) -> None:
    assert may_open(hours, "UTC", now, needs) is expected


def test_the_words_say_what_is_wrong() -> None:
    hours = parse_opening_hours(NIGHT, BERLIN)
    noon, late = datetime(2026, 11, 23, 11, tzinfo=UTC), datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert hours.why_not(noon) == "it is Mon 12:00, outside the opening hours 22:00-05:00 Europe/Berlin"
    assert hours.why_not(late, needs_seconds=7200) == (
        "a window takes at least 2 h 00 min, but the opening hours 22:00-05:00 Europe/Berlin end in 1 h 00 min"
    )
    assert "longer than the opening hours" in str(hours.why_not(late, needs_seconds=53_000))


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        (NIGHT, "2026-11-23T12:00:00Z", "2026-11-23T22:00:00Z"),
        (NIGHT, "2026-11-23T23:00:00Z", "2026-11-23T23:00:00Z"),
        ("Sat 10:00-11:00", "2026-11-28T11:00:00Z", "2026-12-05T10:00:00Z"),
        ("", "2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z"),
    ],
)
def test_when_the_hours_begin_next(hours: str, now: str, expected: str) -> None:
    opening = parse_opening_hours(hours, "UTC").next_opening(datetime.fromisoformat(now))
    assert opening == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    [
        "22-5",
        "22:00",
        "22:00-22:00",
        "24:00-05:00",
        "22:60-05:00",
        "25:00-05:00",
        "22:00 - 05:00",
        "Mon 22:00-05:00;",
        "Mo 22:00-05:00",
        "mon 22:00-05:00",
        "Mon-Wed-Fri 22:00-05:00",
        "Mon, Tue 22:00-05:00",
        "22:00-05:00,06:00-07:00",
        "٢٢:00-05:00",
        "always",
    ],
)
def test_what_are_no_hours_is_refused_and_the_message_shows_how_they_are_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"Mon-Fri 22:00-05:00|00:00-24:00"):
        parse_opening_hours(text, "UTC")


@pytest.mark.parametrize("zone", ["", "Berlin", "Europe/Atlantis", "../etc/passwd", "/etc/localtime", "UTC+1\0"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone: write for example"):
        parse_opening_hours("", zone)


MOMENTS = st.floats(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
"""From 2020 to 2034."""
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
DAYS = st.sampled_from(["", "Mon ", "Sat,Sun ", "Mon-Fri ", "Fri-Mon "])
CLOCK = st.times().map(lambda time: f"{time:%H:%M}")


@st.composite
def some_hours(draw: st.DrawFn) -> str:
    begin = draw(CLOCK)
    end = draw(CLOCK.filter(lambda time: time != begin))
    return f"{draw(DAYS)}{begin}-{end}"


@given(hours=some_hours(), zone=ZONES, now=MOMENTS, needs=st.floats(0, 200_000), less=st.floats(0, 1))
def test_what_fits_still_fits_if_it_is_shorter(hours: str, zone: str, now: datetime, needs: float, less: float) -> None:
    read = parse_opening_hours(hours, zone)
    if read.why_not(now, needs_seconds=needs) is None:
        assert read.why_not(now, needs_seconds=needs * less) is None
        assert read.why_not(now + timedelta(seconds=needs * less)) is None or less == 1, "all of it is within the hours"


@given(hours=some_hours(), zone=ZONES, now=MOMENTS)
def test_on_days_without_a_clock_change_it_is_open_exactly_between_the_times_on_the_clock(
    hours: str, zone: str, now: datetime
) -> None:
    read = parse_opening_hours(hours, zone)
    local = now.astimezone(read.zone)
    if {(local + timedelta(days=days)).utcoffset() for days in (-2, -1, 0, 1, 2)} != {local.utcoffset()}:
        return
    begin, end = hours.split(" ")[-1].split("-")
    clock = f"{local:%H:%M}"
    today = begin <= clock and (clock < end or end < begin)
    from_yesterday = end < begin and clock < end
    days = {"": 7, "Mon ": 1, "Sat,Sun ": 2, "Mon-Fri ": 5, "Fri-Mon ": 4}[hours.removesuffix(f"{begin}-{end}")]
    if days == 7:
        assert (read.why_not(now) is None) is (today or from_yesterday)
    elif read.why_not(now) is None:
        assert today or from_yesterday


@given(hours=some_hours(), zone=ZONES, now=MOMENTS)
def test_at_the_next_opening_it_is_open_and_just_before_it_is_not(hours: str, zone: str, now: datetime) -> None:
    read = parse_opening_hours(hours, zone)
    opening = read.next_opening(now)
    if opening is None:
        return
    assert opening >= now
    assert read.why_not(opening) is None
    if opening > now:
        assert read.why_not(now) is not None
        assert read.why_not(opening - timedelta(microseconds=1)) is not None


@given(now=MOMENTS, zone=ZONES, hours=some_hours(), other=some_hours())
def test_more_hours_never_close_what_was_open(now: datetime, zone: str, hours: str, other: str) -> None:
    if may_open(hours, zone, now.isoformat()):
        assert may_open(f"{hours}; {other}", zone, now.isoformat())


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        (NIGHT, "2026-11-23T23:00:00Z", "2026-11-24T05:00:00Z"),
        (NIGHT, "2026-11-23T12:00:00Z", None),
        ("22:00-24:00; 00:00-05:00", "2026-11-23T23:00:00Z", "2026-11-24T05:00:00Z"),
        ("", "2026-11-23T23:00:00Z", None),
    ],
)
def test_when_the_hours_end(hours: str, now: str, expected: str | None) -> None:
    end = parse_opening_hours(hours, "UTC").end_of(datetime.fromisoformat(now))
    assert end == (None if expected is None else datetime.fromisoformat(expected))
