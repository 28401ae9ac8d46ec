"""A backlog that never shrinks."""

from __future__ import annotations

import pytest

from include.registry_prune.report.backlog import backlog_text
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.verdict.evidence import Thresholds

THRESHOLDS = Thresholds(min_blobs=1_000, min_bytes=1)


def report(orphans: int | None, deleted: int = 0) -> RunReport:
    return RunReport(
        run_id="x", cluster="berlin", outcome=Outcome.PRUNED, orphaned_blobs=orphans, deleted_blobs=deleted
    )


@pytest.mark.parametrize(
    "newest_first", [[5000, 4000, 3000, 2000, 1000], [2000] * 5, [9000, None, 8000, 7000, None, 6000, 5000]]
)
def test_a_backlog_that_grows_or_stays_is_told(newest_first: list[int | None]) -> None:
    assert "have each left as many orphans as the run before, or more" in str(
        backlog_text([report(found) for found in newest_first], THRESHOLDS)
    )


@pytest.mark.parametrize(
    "newest_first",
    [[], [5000] * 4, [5000, 4000, 3000, 4000, 1000], [900, 800, 700, 600, 500], [1000, 2000, 3000, 4000, 5000]],
)
def test_one_that_shrinks_is_small_or_not_known_yet_is_not(newest_first: list[int]) -> None:
    assert backlog_text([report(found) for found in newest_first], THRESHOLDS) is None


def test_what_was_deleted_is_no_backlog() -> None:
    assert backlog_text([report(5000, deleted=5000)] * 5, THRESHOLDS) is None
