"""What later runs know of earlier ones, and how long a delete will take by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.verdict.estimate import (
    DELETE_BY_SCAN,
    LIST_START_SECONDS,
    ROLLOUTS_SECONDS,
    Estimate,
    WindowPlan,
    estimate_delete,
)
from include.registry_prune.verdict.history import FEWEST_DELETED_BLOBS, KEPT_RUNS, History, PastRun

DAY = WindowPlan()


def past(number: int = 0, **fields: Any) -> PastRun:
    return PastRun(run_id=f"run {number}", **fields)


def history(*runs: PastRun) -> History:
    return History.of(run.to_json() for run in runs)


def deleted(blobs: int, scan: float, delete: float) -> PastRun:
    return past(orphaned_blobs=blobs, deleted_blobs=blobs, scan_seconds=scan, delete_seconds=delete)


def test_the_newest_twenty_runs_that_say_something_count() -> None:
    runs = [past(number, orphaned_blobs=number) if number % 2 else past(number) for number in range(60)]
    kept = history(*runs).runs
    assert len(kept) == KEPT_RUNS
    assert [run.orphaned_blobs for run in kept][:3] == [1, 3, 5]


@pytest.mark.parametrize(
    "value",
    [{}, None, "text", [], {"run_id": "x", "orphaned_blobs": -1}, {"run_id": "x", "orphaned_blobs": 1, "version": 2},
     {"run_id": "x", "orphaned_blobs": 1, "delete_seconds": float("nan")}, {"run_id": "x", "somebody": "else"}],
)  # fmt: skip
def test_what_is_no_run_is_passed_over(value: Any) -> None:
    assert History.of([value, past(orphaned_blobs=7).to_json()]).runs == (past(orphaned_blobs=7),)


@pytest.mark.parametrize(
    ("orphans", "median"),
    [([], None), ([5], None), ([5, 5], None), ([1, 9, 2], 2), ([4, 1, 9, 2], 3), ([0, None, 0, None, 1000], 0)],
)
def test_the_median_of_what_earlier_runs_found(orphans: list[int | None], median: float | None) -> None:
    runs = [past(cluster_id="berlin", orphaned_blobs=found) for found in orphans]
    assert history(*runs).median_orphans == median


def test_the_cluster_is_that_of_the_newest_run_that_knows_it() -> None:
    assert history().cluster_id is None
    assert history(past(orphaned_blobs=1), past(cluster_id="b"), past(cluster_id="a")).cluster_id == "b"


@pytest.mark.parametrize(
    ("run", "cost"),
    [
        (deleted(1000, 10.0, 30.0), 0.02),
        (deleted(1000, 30.0, 10.0), 0.0),
        (deleted(FEWEST_DELETED_BLOBS - 1, 1.0, 5.0), None),
        (past(orphaned_blobs=5000, scan_seconds=10.0), None),
        (past(deleted_blobs=5000, delete_seconds=10.0), None),
    ],
)
def test_what_a_deleted_blob_cost(run: PastRun, cost: float | None) -> None:
    assert run.seconds_per_blob == cost


def test_without_an_earlier_delete_a_published_run_is_the_measure() -> None:
    scan, delete = 4 * 3600 + 21 * 60, 14 * 3600 + 43 * 60
    estimate = estimate_delete(
        orphaned_blobs=505_651, stored_blobs=505_651, scan_seconds=scan, plan=DAY, history=history()
    )
    assert estimate == Estimate(likely_seconds=delete, low_seconds=scan, high_seconds=2 * delete)
    assert estimate.text() == (
        "about 14 h 43 min (4 h 21 min to 29 h 26 min), by its dry run and a published run elsewhere, as this cluster "
        "has no earlier delete; the registry is read-only for about 14 h 44 min"
    )


def test_where_few_blobs_are_orphans_a_delete_takes_little_longer_than_the_scan() -> None:
    few = estimate_delete(orphaned_blobs=100, stored_blobs=10_000, scan_seconds=100.0, plan=DAY, history=history())
    assert few.likely_seconds == round(100 * (1 + DELETE_BY_SCAN / 100), 1)


def test_earlier_deletes_are_a_better_measure() -> None:
    runs = history(deleted(1000, 10.0, 20.0), deleted(1000, 10.0, 40.0), deleted(2000, 10.0, 50.0))
    estimate = estimate_delete(orphaned_blobs=4000, stored_blobs=9000, scan_seconds=12.0, plan=DAY, history=runs)
    assert estimate == Estimate(likely_seconds=92.0, low_seconds=52.0, high_seconds=132.0, earlier_deletes=3)
    assert estimate.text() == (
        "about 1 min 32 s (52 s to 2 min 12 s), by 3 earlier deletes of this cluster; "
        "the registry is read-only for about 3 min 02 s"
    )


@given(
    orphans=st.integers(0, 10_000_000),
    kept=st.integers(0, 10_000_000),
    scan=st.floats(0, 1e6),
    runs=st.lists(st.builds(deleted, st.integers(0, 10**7), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=25),
)
def test_every_estimate_is_a_range_around_what_is_likely(
    orphans: int, kept: int, scan: float, runs: list[PastRun]
) -> None:
    known = history(*runs)
    estimate = estimate_delete(
        orphaned_blobs=orphans, stored_blobs=orphans + kept, scan_seconds=scan, plan=DAY, history=known
    )
    assert 0 <= estimate.low_seconds <= estimate.likely_seconds <= estimate.high_seconds
    assert estimate.likely_seconds >= round(scan, 1)
    more = estimate_delete(
        orphaned_blobs=orphans + 1000, stored_blobs=orphans + 1000 + kept, scan_seconds=scan, plan=DAY, history=known
    )
    assert more.likely_seconds >= estimate.likely_seconds


def sliced(found: int, deleted_blobs: int, **more: Any) -> PastRun:
    return past(
        orphaned_blobs=found, deleted_blobs=deleted_blobs, left_blobs=found - deleted_blobs, scan_seconds=10.0, **more
    )


def test_a_slice_has_walked_only_a_part_of_the_storage() -> None:
    """Guards the estimate after a slice: with the whole walk taken off, its blobs would look too cheap."""
    assert sliced(2000, 1000, delete_seconds=25.0).seconds_per_blob == 0.02


WHOLE = deleted(5, 1.0, 1.0).model_copy(update={"left_blobs": 0})


@pytest.mark.parametrize(
    ("runs", "left", "slices"),
    [
        ((), 0, 0),
        ((sliced(100, 40),), 60, 1),
        ((past(orphaned_blobs=60), sliced(60, 20), sliced(100, 40), WHOLE, sliced(9, 1)), 40, 2),
        ((WHOLE, sliced(100, 40)), 0, 0),
    ],
)
def test_what_the_last_delete_left(runs: tuple[PastRun, ...], left: int, slices: int) -> None:
    """A run that opened no window between two slices changes nothing."""
    known = history(*runs)
    assert (known.left_blobs, len(known.slices)) == (left, slices)


def estimate(orphans: int, limit: float, *, scans: bool = False) -> Estimate:
    """Of a cluster whose blobs cost 0.1 s each, on top of a walk of 100 s; its rollouts take 100 s."""
    known = history(deleted(1000, 100.0, 200.0).model_copy(update={"rollouts_seconds": 100.0}))
    plan = WindowPlan(limit_seconds=limit, scans=scans)
    return estimate_delete(orphaned_blobs=orphans, stored_blobs=orphans, scan_seconds=100.0, plan=plan, history=known)


def test_the_window_holds_both_rollouts_and_a_scan_only_where_there_is_one() -> None:
    assert estimate(1000, 3600).window_seconds == 100 + 200
    assert estimate(1000, 3600, scans=True).window_seconds == 100 + 100 + 200
    unknown = estimate_delete(orphaned_blobs=1, stored_blobs=1, scan_seconds=0.0, plan=DAY, history=history())
    assert unknown.rollouts_seconds == ROLLOUTS_SECONDS


@pytest.mark.parametrize(
    ("orphans", "limit", "windows"),
    [(1000, 300, 1), (1000, 299, 2), (10_000, 1100, 2), (10_000, 600, 3), (10_000, 350, 6), (10_000, 150, None)],
)
def test_how_many_windows_it_takes(orphans: int, limit: float, windows: int | None) -> None:
    assert estimate(orphans, limit).windows == windows


def test_the_words_tell_of_windows() -> None:
    assert "it takes 3 windows of the setting window_limit" in estimate(10_000, 600).text()
    assert "window_limit leaves no time to delete" in estimate(10_000, 150).text()


@given(orphans=st.integers(0, 10**7), limit=st.floats(1, 1e6), scans=st.booleans())
def test_so_many_windows_hold_the_delete_and_one_less_does_not(orphans: int, limit: float, scans: bool) -> None:
    found = estimate(orphans, limit, scans=scans)
    usable = limit - found.rollouts_seconds - found.scan_seconds
    cost = found.likely_seconds - 100.0

    def fits(count: int) -> bool:
        return cost + 100.0 * (count + 1) / 2 <= count * usable + 0.2

    if found.windows is None:
        assert not any(fits(count) for count in (1, 10, 10**6))
    else:
        assert fits(found.windows)
        assert found.windows == 1 or not fits(found.windows - 1) or cost < 1


def test_a_window_is_worth_opening_for_as_much_delete_as_rollouts_or_for_all_of_it() -> None:
    assert estimate(10_000, 3600).least_seconds == 200
    assert estimate(0, 3600).least_seconds == 200


BY_LIST = WindowPlan(limit_seconds=3600.0, by_list=True)


def test_a_delete_by_the_list_walks_through_nothing_and_goes_by_deletes_of_its_kind() -> None:
    """Guards the estimate: a documented delete that took hours says nothing of one by the list, nor the other way."""
    documented = deleted(1000, 3000.0, 9000.0)
    by_list = deleted(1000, 3000.0, 2.0).model_copy(update={"by_list": True})
    known = history(documented, by_list)
    assert known.seconds_per_blob() == (6.0,)
    assert known.seconds_per_blob(by_list=True) == (0.002,)
    estimate = estimate_delete(
        orphaned_blobs=100_000, stored_blobs=200_000, scan_seconds=3000.0, plan=BY_LIST, history=known
    )
    assert estimate.likely_seconds == LIST_START_SECONDS + 200.0
    assert (estimate.windows, estimate.scan_seconds, estimate.earlier_deletes) == (1, 0.0, 1)


def test_without_an_earlier_delete_by_the_list_its_estimate_says_what_it_comes_from() -> None:
    estimate = estimate_delete(
        orphaned_blobs=500_000, stored_blobs=600_000, scan_seconds=15_000.0, plan=BY_LIST, history=history()
    )
    assert estimate.likely_seconds < 600
    assert "no earlier delete by the list" in estimate.text()
