"""When a window may be opened: hours of the day, on days of the week, in a time zone (pure).

Written as ``22:00-05:00``, ``Mon-Fri 22:00-05:00`` or, several at once, ``Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00``. A
day is the one that a range begins on: ``Fri 22:00-05:00`` lasts into Saturday.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from include.registry_prune.units import format_seconds

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EXAMPLE = "write for example 22:00-05:00 or Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00"
_RANGE = re.compile(
    r"(?:(?P<days>[A-Za-z]{3}(?:[-,][A-Za-z]{3})*) )?"
    r"(?P<begin>[01][0-9]|2[0-3]):(?P<begin_minute>[0-5][0-9])-"
    r"(?:(?P<end>[01][0-9]|2[0-3]):(?P<end_minute>[0-5][0-9])|(?P<midnight>24:00))"
)
_DAY = timedelta(days=1)
_WEEK = 7
_LONGEST = timedelta(days=366)
"""A delete of a year and one of ten fit, or do not fit, into the same hours."""


@dataclass(frozen=True)
class _Range:
    """From a time of a day to another one, which is on the next day unless it is later.

    :param days: weekdays that it begins on; Monday is 0.
    """

    days: frozenset[int]
    begin: time
    end: time

    def on(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Begin and end, in UTC, of the range that begins on a day.

        A time that a clock change leaves out counts as if the clock had not been changed yet; of one that comes twice
        the first counts. A range whose end comes first that way is empty.
        """
        end_day = day if self.end > self.begin else day + _DAY
        begin = datetime.combine(day, self.begin, zone).astimezone(UTC)
        return begin, datetime.combine(end_day, self.end, zone).astimezone(UTC)


@dataclass(frozen=True)
class OpeningHours:
    """When a window may be opened. Without a range that is always.

    :param written: as the settings have it.
    """

    written: str
    zone: ZoneInfo
    ranges: tuple[_Range, ...]

    def __str__(self) -> str:
        return f"{self.written} {self.zone.key}"

    def why_not(self, now: datetime, *, needs_seconds: float | None = None) -> str | None:
        """Why a window may not be opened now; None if it may.

        :param now: with a time zone.
        :param needs_seconds: so much time of the hours has to be left, for a window to be worth it.
        """
        if not self.ranges:
            return None
        needs = timedelta(seconds=min(needs_seconds or 0.0, _LONGEST.total_seconds()))
        inside = next((span for span in self._spans(now, now + needs) if span[0] <= now < span[1]), None)
        if inside is None:
            return f"it is {self._clock(now)}, outside the opening hours {self}"
        left = inside[1] - now
        if needs <= left:
            return None
        said = f"a window takes at least {format_seconds(needs.total_seconds())}"
        if needs > inside[1] - inside[0]:
            return f"{said}, longer than the opening hours {self}: make them longer, or ignore them for one run"
        return f"{said}, but the opening hours {self} end in {format_seconds(left.total_seconds())}"

    def end_of(self, now: datetime) -> datetime | None:
        """When the hours end that it is now; None if it is outside, or if there are no hours."""
        spans = self._spans(now, now) if self.ranges else []
        return next((end for begin, end in spans if begin <= now < end), None)

    def next_opening(self, now: datetime) -> datetime | None:
        """When the hours begin next; ``now`` if they have begun, None if that is more than a week away."""
        if not self.ranges:
            return now
        return next((max(begin, now) for begin, end in self._spans(now, now) if end > now), None)

    def _clock(self, now: datetime) -> str:
        return f"{now.astimezone(self.zone):%a %H:%M}"

    def _spans(self, first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
        """The hours around two moments, in UTC, ordered; ranges that touch are one."""
        day = first.astimezone(self.zone).date() - _DAY
        until = last.astimezone(self.zone).date() + timedelta(days=_WEEK + 1)
        found = []
        while day <= until:
            found += [each.on(day, self.zone) for each in self.ranges if day.weekday() in each.days]
            day += _DAY
        joined: list[tuple[datetime, datetime]] = []
        for begin, end in sorted(span for span in found if span[0] < span[1]):
            if joined and begin <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((begin, end))
        return joined


def parse_opening_hours(text: str, zone: str) -> OpeningHours:
    """Read opening hours; an empty text means always.

    :param zone: name of a time zone, such as ``Europe/Berlin``.
    :raises ValueError: if one of them is wrong; the message says how it is written.
    """
    parts = [part.strip() for part in text.split(";")] if text.strip() else []
    return OpeningHours(text.strip(), parse_zone(zone), tuple(_parse_range(part) for part in parts))


def parse_zone(name: str) -> ZoneInfo:
    """The time zone of this name.

    :raises ValueError: if there is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # KeyError: ZoneInfoNotFoundError
        raise ValueError(f"{name!r} is no time zone: write for example UTC or Europe/Berlin") from error


def _parse_range(text: str) -> _Range:
    read = _RANGE.fullmatch(text)
    if read is None:
        raise ValueError(f"{text!r} are no opening hours: {_EXAMPLE}")
    begin = time(int(read["begin"]), int(read["begin_minute"]))
    end = time(0) if read["midnight"] else time(int(read["end"]), int(read["end_minute"]))
    if begin == end and not read["midnight"]:
        raise ValueError(f"{text!r} begins and ends at the same time; a whole day is 00:00-24:00")
    return _Range(_parse_days(read["days"], text), begin, end)


def _parse_days(text: str | None, whole: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(_WEEK))
    found: set[int] = set()
    for part in text.split(","):
        names = part.split("-")
        if len(names) > 2 or any(name not in _DAYS for name in names):
            raise ValueError(f"{whole!r}: the days are {', '.join(_DAYS)}: {_EXAMPLE}")
        first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
        found |= {(first + step) % _WEEK for step in range((last - first) % _WEEK + 1)}
    return frozenset(found)
