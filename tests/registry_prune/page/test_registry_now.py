"""Whether a registry takes pushes: who knows it last is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.page.registry_now import OpenWindow, RegistryNow, attention, registry_now
from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.lease import Lease

NOW = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
OPENED, END = NOW - timedelta(minutes=10), NOW + timedelta(hours=3)
LOOKED = NOW - timedelta(minutes=4)
QUIET = GuardRound(found=Found.NOTHING, message="the registry takes pushes", read_only=False)
AT_WORK = GuardRound(
    found=Found.AT_WORK,
    message="registry_prune/one is at work",
    read_only=True,
    read_only_since=OPENED,
    holder="registry_prune/one",
    must_end_by=END,
)
CLOSED = GuardRound(found=Found.CLOSED, message="The guard closed the window", read_only=False)
LEASE = Lease(holder="registry_prune/one", token="t", armed_at=OPENED, expires_at=END, must_end_by=END)
WINDOW = OpenWindow("registry_prune/one", OPENED, LEASE)


def test_a_quiet_round_of_the_guard() -> None:
    found = registry_now(QUIET, LOOKED, None, now=NOW)
    assert (found.state, found.known_at, found.told_by) == ("takes pushes", LOOKED, "guard")


def test_a_window_that_the_guard_has_seen() -> None:
    found = registry_now(AT_WORK, LOOKED, None, now=NOW)
    assert (found.state, found.since, found.by, found.must_end_by) == ("read-only", OPENED, "registry_prune/one", END)
    assert not found.overdue


def test_a_window_that_was_opened_after_the_guard_looked() -> None:
    """Guards the card of a run that has just begun: the guard's last word is five minutes old."""
    found = registry_now(QUIET, OPENED - timedelta(minutes=1), WINDOW, now=NOW)
    assert (found.state, found.since, found.must_end_by, found.told_by) == ("read-only", OPENED, END, "run")


def test_a_window_of_a_run_that_does_not_tell_its_end_ends_as_the_guard_has_seen() -> None:
    assert registry_now(AT_WORK, LOOKED, OpenWindow("registry_prune/one", OPENED), now=NOW).must_end_by == END
    assert registry_now(AT_WORK, LOOKED, OpenWindow("registry_prune/two", OPENED), now=NOW).must_end_by is None


def test_a_window_that_the_guard_has_closed_is_closed_although_its_run_does_not_know() -> None:
    assert registry_now(CLOSED, LOOKED, WINDOW, now=NOW).state == "takes pushes"
    earlier = OPENED - timedelta(minutes=1)
    assert registry_now(CLOSED, earlier, WINDOW, now=NOW).state == "read-only", "it closed the one before"


def test_a_registry_that_somebody_else_made_read_only() -> None:
    unexplained = GuardRound(
        found=Found.UNEXPLAINED,
        message="nobody says why",
        read_only=True,
        read_only_since=OPENED,
        read_only_seconds=600,
    )
    found = registry_now(unexplained, LOOKED, None, now=NOW)
    assert (found.state, found.by, found.text) == ("read-only", "", "nobody says why")


@pytest.mark.parametrize(
    ("guard", "looked_at"), [(None, None), (GuardRound(found=Found.NOTHING, message="of an older release"), LOOKED)]
)
def test_what_nobody_knows_is_said_to_be_unknown(guard: GuardRound | None, looked_at: datetime | None) -> None:
    assert registry_now(guard, looked_at, None, now=NOW).state == "not known"


def test_a_window_past_its_end() -> None:
    late = END + timedelta(minutes=1)
    assert registry_now(AT_WORK, END, None, now=late).overdue
    assert registry_now(None, None, WINDOW, now=late).overdue


FINE = registry_now(QUIET, LOOKED, None, now=NOW)
LATE = registry_now(None, None, WINDOW, now=END + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"failed_in_a_row": 2}, None),
        ({"failed_in_a_row": 3}, "the last 3 runs have all failed"),
        ({"due_at": NOW - timedelta(hours=2)}, "Airflow has not begun it"),
        ({"due_at": NOW - timedelta(minutes=30)}, None),
        ({"due_at": None}, None),
        ({"due_at": NOW - timedelta(hours=2), "paused": True}, None),
        ({"guard_looked_at": NOW - timedelta(minutes=31)}, "The guard has not looked"),
        ({"guard_looked_at": None}, None),
        ({"guard_paused": True}, "The guard is paused"),
        ({"guard_paused": True, "paused": True}, None),
        ({"same_cluster": ["berlin", "munich"]}, "It is the same cluster as that of berlin, munich"),
        ({"registry": LATE}, "should take pushes again"),
        ({"registry": RegistryNow("not known")}, None),
    ],
)
def test_what_somebody_should_look_at(changes: dict[str, Any], said: str | None) -> None:
    facts: dict[str, Any] = {
        "registry": FINE,
        "guard_looked_at": LOOKED,
        "guard_paused": False,
        "paused": False,
        "failed_in_a_row": 0,
        "due_at": NOW + timedelta(hours=1),
        "same_cluster": [],
    }
    found = attention(**{**facts, **changes}, now=NOW)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
