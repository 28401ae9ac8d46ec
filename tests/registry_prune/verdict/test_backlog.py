"""What a slice leaves: when a person is told."""

from __future__ import annotations

import pytest

from include.registry_prune.verdict.backlog import backlog_problem, slices_left
from include.registry_prune.verdict.history import History, PastRun


def slices(*found: int) -> History:
    """Slices in a row, the newest first, that began with so many orphans."""
    return History(
        runs=tuple(PastRun(run_id=str(number), orphaned_blobs=each, left_blobs=1) for number, each in enumerate(found))
    )


def problem(history: History, *, found: int = 1000, deleted: int = 100, most: int = 30) -> str:
    return backlog_problem(history, found=found, deleted=deleted, left=found - deleted, most_slices=most)


def test_how_many_more_runs_it_takes() -> None:
    assert slices_left(left=900, deleted=100) == 9
    assert slices_left(left=901, deleted=100) == 10
    assert slices_left(left=901, deleted=0) is None


def test_a_backlog_that_is_gone_in_time_needs_nobody() -> None:
    assert problem(slices(), most=9) == ""
    assert problem(slices(1100, 1200), most=9) == ""


def test_a_backlog_that_takes_too_many_runs_is_told_with_what_to_do() -> None:
    told = problem(slices(), most=8)
    assert "900 orphaned blobs are left after this slice, and at this rate it takes 9 more runs" in told
    assert "window_limit" in told


def test_a_slice_that_deleted_nothing_is_told() -> None:
    assert "it deleted nothing" in problem(slices(), deleted=0)


@pytest.mark.parametrize("before", [(1000, 1000), (990, 980), (1000, 900, 5000)])
def test_three_slices_that_do_not_shrink_are_told(before: tuple[int, ...]) -> None:
    assert "does not shrink: the last 3 slices began with" in problem(slices(*before))


@pytest.mark.parametrize("before", [(1000,), (1001, 1002), (1000, 1001), (1001, 900)])
def test_two_slices_or_a_backlog_that_shrinks_are_not(before: tuple[int, ...]) -> None:
    assert problem(slices(*before)) == ""
