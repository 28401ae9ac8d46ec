"""A cluster that goes after another one: how that one's last window of the day ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.fleet.canary import Ended, canary
from include.registry_prune.report.report import Outcome, RunReport

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def report(outcome: Outcome = Outcome.PRUNED, at: datetime = NOON, **figures: Any) -> RunReport:
    known = {"run_id": "r", "cluster": "staging", "outcome": outcome, "reported_at": at, "read_only_seconds": 60.0}
    return RunReport(**(known | figures))


YESTERDAY = NOON - timedelta(hours=13)
CASES: dict[str, tuple[list[RunReport], Ended]] = {
    "pruned today": ([report()], Ended.WELL),
    "a slice today": ([report(Outcome.SLICE)], Ended.WELL),
    "failed today": ([report(Outcome.FAILED)], Ended.BADLY),
    "nobody saw its end": ([report(Outcome.END_NOT_KNOWN)], Ended.BADLY),
    "a quiet day": ([report(Outcome.NOT_WORTH_IT, read_only_seconds=0.0)], Ended.NOT_YET),
    "failed before its window": ([report(Outcome.FAILED, read_only_seconds=None)], Ended.NOT_YET),
    "pruned yesterday": ([report(at=YESTERDAY)], Ended.NOT_YET),
    "never": ([], Ended.NOT_YET),
    "the last one counts": ([report(at=NOON - timedelta(hours=2)), report(Outcome.FAILED)], Ended.BADLY),
    "the last one is good again": ([report(), report(Outcome.FAILED, at=NOON - timedelta(hours=2))], Ended.WELL),
    "a quiet run after its window": ([report(Outcome.NOT_WORTH_IT, read_only_seconds=0.0), report()], Ended.WELL),
}


@pytest.mark.parametrize(("reports", "ended"), CASES.values(), ids=CASES.keys())
def test_the_last_window_of_the_day_decides(reports: list[RunReport], ended: Ended) -> None:
    assert canary("staging", reports, now=NOON + timedelta(hours=1), zone="UTC").ended is ended


def test_a_day_is_that_of_the_time_zone() -> None:
    late = report(at=datetime(2026, 11, 26, 23, 30, tzinfo=UTC))
    after_midnight = datetime(2026, 11, 27, 0, 30, tzinfo=UTC)
    assert canary("staging", [late], now=after_midnight, zone="UTC").ended is Ended.NOT_YET
    assert canary("staging", [late], now=after_midnight, zone="Europe/Berlin").ended is Ended.WELL
