"""What is said of a read-only time is what was observed, second by second."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.contestants.observer import Window
from benchmarks.read_only.figures import Spans, covered, spans

WHOLE = Window(opened_at=100, settled_at=140, reopened_at=160, closed_at=200)


def journal(*runs: tuple[str, float, float]) -> list[dict[str, Any]]:
    entries = []
    for pid, (mode, begin, end) in enumerate(runs):
        entries.append({"event": "start", "pid": pid, "mode": mode, "time": begin})
        entries.append({"event": "end", "pid": pid, "exit_code": 0, "time": end})
    return entries


def test_overhead_is_what_is_neither_rollout_nor_pruner() -> None:
    found = spans([WHOLE], journal(("check", 50, 60), ("check", 141, 144), ("delete", 146, 156)))
    assert found == Spans(read_only=100, rollouts=80, check=3, delete=10, overhead=7)


def test_a_pruner_beside_a_rollout_counts_once() -> None:
    """The documented procedure deletes while the pods are being replaced: its overhead is not negative."""
    found = spans([WHOLE], journal(("check", 90, 110), ("delete", 110, 150)))
    assert found == Spans(read_only=100, rollouts=80, check=10, delete=40, overhead=10)


def test_a_window_that_never_settled_is_rollout_until_it_is_reopened() -> None:
    found = spans([Window(opened_at=0, reopened_at=10, closed_at=15)], [])
    assert found == Spans(read_only=15, rollouts=15)


def test_no_window_is_no_time_and_two_windows_are_the_sum() -> None:
    assert spans([], journal(("check", 1, 2))) == Spans()
    assert spans([WHOLE, WHOLE], []).read_only == 200


def test_an_open_window_has_no_figures() -> None:
    with pytest.raises(ValueError, match="not closed"):
        spans([Window(opened_at=0, settled_at=1)], [])


@pytest.mark.parametrize(
    ("found", "seconds"), [([], 0), ([(0, 2), (1, 3)], 3), ([(5, 6), (0, 10)], 10), ([(0, 1), (2, 3)], 2)]
)
def test_covered_seconds(found: list[tuple[float, float]], seconds: float) -> None:
    assert covered(found) == seconds
