"""A cluster that goes after others: its window is opened once theirs of the same day have ended well (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from include.registry_prune.report.report import Outcome, RunReport

_GOOD = (Outcome.PRUNED, Outcome.SLICE)


class Ended(StrEnum):
    """How a cluster's last window of the day ended."""

    WELL = "well"
    BADLY = "badly"
    NOT_YET = "not yet"


class Canary(NamedTuple):
    """What is known of the cluster that goes first.

    :param what: in words; empty if its window ended well.
    """

    ended: Ended
    what: str = ""


def canary(name: str, reports: Iterable[RunReport], *, now: datetime, zone: str) -> Canary:
    """How the last window of a cluster ended today.

    :param reports: of its runs.
    :param zone: time zone in which a day is a day.
    """
    today = now.astimezone(ZoneInfo(zone)).date()
    windows = [
        report
        for report in reports
        if report.read_only_seconds
        and report.reported_at is not None
        and report.reported_at.astimezone(ZoneInfo(zone)).date() == today
    ]
    last = max(windows, key=lambda report: report.reported_at or now, default=None)
    if last is None:
        return Canary(Ended.NOT_YET, f"cluster {name} goes first (after), and has had no window today")
    if last.outcome in _GOOD:
        return Canary(Ended.WELL)
    how = f"{last.outcome}, run {last.run_id}"
    return Canary(Ended.BADLY, f"cluster {name} goes first (after), and its window of today did not end well ({how})")
