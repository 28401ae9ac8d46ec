"""Is this the moment to open the window?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.preflight.right_moment import Obstacle, judge
from include.registry_prune.settings.opening_hours import parse_opening_hours
from include.registry_prune.settings.parameters import RunningBuilds
from include.registry_prune.verdict.decision import Action, Verdict

NIGHT = parse_opening_hours("22:00-05:00", "UTC")
ALWAYS = parse_opening_hours("", "UTC")
NOON, MIDNIGHT = datetime(2026, 11, 23, 12, tzinfo=UTC), datetime(2026, 11, 23, 0, tzinfo=UTC)
BUILDS = Obstacle("2 builds (shop/app-1, shop/app-2) would be lost", Action.SKIP)
ROLLOUT = Obstacle("the registry is not settled read-write", Action.STOP)


def judged(*obstacles: Obstacle, **changes: Any) -> Verdict | None:
    facts: dict[str, Any] = {
        "now": MIDNIGHT,
        "hours": NIGHT,
        "needs_seconds": None,
        "waited_seconds": 0.0,
        "wait_seconds": 1800.0,
    }
    return judge(obstacles, **(facts | changes))


def test_with_nothing_in_the_way_the_window_is_opened() -> None:
    assert judged() == Verdict(action=Action.PRUNE, reasons=("nothing is in the way of the window",))


def test_what_goes_by_itself_is_waited_for() -> None:
    assert judged(BUILDS) is None
    assert judged(BUILDS, waited_seconds=1799.0) is None
    gone = judged(waited_seconds=720.0)
    assert gone is not None
    assert gone.reasons == ("nothing is in the way of the window after a wait of 12 min 00 s",)


@pytest.mark.parametrize(
    ("setting", "action", "ending"),
    [
        ("skip", Action.SKIP, "this run opens no window"),
        ("stop", Action.STOP, "the run stops here and opens no window"),
        ("go_on", Action.PRUNE, "the run opens the window all the same"),
    ],
)
def test_builds_that_still_run_after_the_wait_are_dealt_with_as_the_setting_says(
    setting: str, action: Action, ending: str
) -> None:
    builds = Obstacle("1 build (shop/app-1) would be lost", RunningBuilds(setting).action)
    verdict = judged(builds, waited_seconds=1800.0)
    assert verdict == Verdict(
        action=action, reasons=("1 build (shop/app-1) would be lost after a wait of 30 min 00 s", ending)
    )


def test_the_gravest_of_several_obstacles_decides_and_all_are_named() -> None:
    verdict = judged(BUILDS, ROLLOUT, waited_seconds=1800.0)
    assert verdict is not None
    assert verdict.action is Action.STOP
    assert [reason.split(" after")[0] for reason in verdict.reasons[:-1]] == [BUILDS.what, ROLLOUT.what]


def test_without_any_wait_the_first_look_decides() -> None:
    verdict = judged(BUILDS, wait_seconds=0.0)
    assert verdict is not None
    assert verdict.reasons[0] == BUILDS.what


def test_outside_the_hours_the_window_is_not_opened_and_it_is_said_why() -> None:
    verdict = judged(now=NOON)
    assert verdict == Verdict(
        action=Action.SKIP,
        reasons=("this run does not open the window now: it is Mon 12:00, outside the opening hours 22:00-05:00 UTC",),
    )
    assert judged(now=NOON, hours=ALWAYS) == judged()


def test_hours_that_begin_before_the_wait_is_over_are_waited_for() -> None:
    shortly_before = datetime(2026, 11, 23, 21, 45, tzinfo=UTC)
    assert judged(now=shortly_before) is None
    too_long = judged(now=shortly_before, waited_seconds=1000.0)
    assert too_long is not None
    assert too_long.action is Action.SKIP


def test_hours_that_the_delete_does_not_fit_into_are_not_waited_for() -> None:
    shortly_before = datetime(2026, 11, 23, 21, 45, tzinfo=UTC)
    verdict = judged(now=shortly_before, needs_seconds=8 * 3600.0)
    assert verdict is not None
    assert verdict.action is Action.SKIP


def test_a_delete_that_would_outlast_the_hours_is_not_begun() -> None:
    late = datetime(2026, 11, 24, 4, tzinfo=UTC)
    verdict = judged(now=late, needs_seconds=4000.0)
    assert verdict is not None
    assert verdict.action is Action.SKIP
    assert "takes at least 1 h 06 min" in verdict.reasons[0]
    assert judged(now=late, needs_seconds=3600.0) == judged()


def test_hours_that_end_while_builds_run_end_the_wait() -> None:
    verdict = judged(BUILDS, now=datetime(2026, 11, 24, 5, tzinfo=UTC), waited_seconds=60.0)
    assert verdict is not None
    assert verdict.action is Action.SKIP


OBSTACLES = st.lists(st.builds(Obstacle, what=st.text(min_size=1), if_it_stays=st.sampled_from(Action)), max_size=4)


@given(
    obstacles=OBSTACLES, waited=st.floats(0, 10_000), hour=st.integers(0, 23), estimate=st.none() | st.floats(0, 1e6)
)
def test_the_window_is_opened_only_if_each_obstacle_allows_it_and_the_hours_do(
    obstacles: list[Obstacle], waited: float, hour: int, estimate: float | None
) -> None:
    now = NOON.replace(hour=hour)
    verdict = judged(*obstacles, now=now, waited_seconds=waited, needs_seconds=estimate)
    if verdict is not None and verdict.action is Action.PRUNE:
        assert all(each.if_it_stays is Action.PRUNE for each in obstacles)
        assert not obstacles or waited >= 1800
        assert NIGHT.why_not(now, needs_seconds=estimate) is None
    if waited >= 1800:
        assert verdict is not None, "a wait comes to its end"
