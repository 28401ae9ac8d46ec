"""Whose turn it is: never more than allowed at once, whatever order the runs look in; who claims first goes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.fleet.turn import SEEN_AFTER, WAITS_FOR, Claim, claim_of, why_not_yet

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def claim(cluster: str, seconds: float = 0.0, **changes: object) -> Claim:
    at = NOON + timedelta(seconds=seconds)
    made = Claim(cluster=cluster, run=f"{cluster}/run", claimed_at=at, good_until=at + WAITS_FOR)
    return made.model_copy(update=changes)


LATER = NOON + timedelta(minutes=2)


def test_who_claimed_first_goes_first() -> None:
    first, second = claim("munich"), claim("berlin", 1)
    assert why_not_yet(first, [second], now=LATER, at_once=1) is None
    reason = why_not_yet(second, [first], now=LATER, at_once=1)
    assert reason is not None
    assert reason.endswith("before this one come munich (waiting since 12:00:00 UTC)")
    assert why_not_yet(second, [first], now=LATER, at_once=2) is None


def test_of_two_at_the_same_moment_the_name_decides() -> None:
    one, other = claim("berlin"), claim("munich")
    assert why_not_yet(one, [other], now=LATER, at_once=1) is None
    assert why_not_yet(other, [one], now=LATER, at_once=1) is not None


def test_a_claim_is_acted_upon_when_the_others_have_seen_it() -> None:
    """Guards the pause: of two that claim at once, neither may have read before the other wrote."""
    own = claim("berlin")
    assert why_not_yet(own, [], now=NOON + SEEN_AFTER - timedelta(seconds=1), at_once=5) is not None
    assert why_not_yet(own, [], now=NOON + SEEN_AFTER, at_once=5) is None


def test_an_open_window_counts_however_late_it_was_claimed_and_a_claim_of_a_dead_run_does_not() -> None:
    own = claim("berlin")
    opened = claim("munich", 30).opened(NOON + timedelta(hours=4))
    assert why_not_yet(own, [opened], now=LATER, at_once=1) is not None
    assert why_not_yet(own, [opened], now=NOON + timedelta(hours=4), at_once=1) is None
    dead = claim("hamburg", -600)
    assert why_not_yet(own, [dead], now=LATER, at_once=1) is None


def test_a_run_keeps_its_place_while_it_looks_again_and_another_run_does_not_get_it() -> None:
    first = claim_of(None, cluster="berlin", run="r1", now=NOON)
    again = claim_of(first, cluster="berlin", run="r1", now=LATER)
    assert (again.claimed_at, again.good_until) == (NOON, LATER + WAITS_FOR)
    assert claim_of(again, cluster="berlin", run="r2", now=LATER).claimed_at == LATER
    much_later = LATER + timedelta(hours=1)
    assert claim_of(again, cluster="berlin", run="r1", now=much_later).claimed_at == much_later


NAMES = ("a", "b", "c", "d", "e")


@given(
    at_once=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(NAMES), st.floats(0, 50), st.sampled_from(["look", "look", "look", "close"])),
        max_size=60,
    ),
)
def test_whatever_order_they_look_and_close_in_no_more_than_allowed_are_open(
    at_once: int, steps: list[tuple[str, float, str]]
) -> None:
    """One store that all see; each look writes its claim and then reads the others', as the gate does."""
    store: dict[str, Claim] = {}
    now = NOON
    for name, seconds, what in steps:
        now += timedelta(seconds=seconds)
        if what == "close":
            if name in store and store[name].opens:
                del store[name]
            continue
        store[name] = claim_of(store.get(name), cluster=name, run="r", now=now)
        others = [each for cluster, each in store.items() if cluster != name]
        if why_not_yet(store[name], others, now=now, at_once=at_once) is None and not store[name].opens:
            store[name] = store[name].opened(now + timedelta(hours=4))
        assert sum(each.opens and each.good_until > now for each in store.values()) <= at_once


@given(
    skew=st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    reads=st.lists(st.floats(0, 10), min_size=3, max_size=3),
)
def test_three_that_come_at_the_same_second_with_clocks_that_differ_get_one_turn(
    skew: list[float], reads: list[float]
) -> None:
    """Each writes at once by its own clock, and none sees another's write for ten seconds: by its next look it does."""
    written = [claim(name, seconds) for name, seconds in zip("abc", skew, strict=True)]
    opened = 0
    for own, late in zip(written, reads, strict=True):
        own_now = own.claimed_at + SEEN_AFTER + timedelta(seconds=late)
        others = [each for each in written if each is not own]
        opened += why_not_yet(own, others, now=own_now, at_once=1) is None
    assert opened == 1
