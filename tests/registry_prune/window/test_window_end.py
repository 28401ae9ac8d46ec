"""When a window has to end, and that nothing moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.window.lease import DeleteAttempt, Lease, attempt_name, parse_lease
from include.registry_prune.window.window_end import WindowEnd

NOW = datetime(2026, 11, 26, 3, 15, tzinfo=UTC)
LIMIT = timedelta(hours=4)


def lease(**changes: object) -> Lease:
    fields = {"holder": "d/r", "token": "t", "armed_at": NOW, "expires_at": NOW + timedelta(minutes=15)}
    return Lease.model_validate(fields | {"must_end_by": NOW + LIMIT} | changes)


def test_a_window_ends_with_its_limit_or_with_the_opening_hours() -> None:
    assert WindowEnd.of(NOW, limit=LIMIT, hours_end=None).must_end_by == NOW + LIMIT
    sooner = NOW + timedelta(hours=1)
    assert WindowEnd.of(NOW, limit=LIMIT, hours_end=sooner).must_end_by == sooner
    assert WindowEnd.of(NOW, limit=LIMIT, hours_end=NOW + timedelta(hours=9)).must_end_by == NOW + LIMIT


def test_the_work_ends_as_long_before_as_the_way_back_takes() -> None:
    end = WindowEnd(NOW + LIMIT)
    assert end.work_ends_by(40.0) == NOW + LIMIT - timedelta(seconds=60)
    assert end.rollout_ends_by(NOW) == NOW + LIMIT / 2
    late = NOW + 2 * LIMIT
    assert end.rollout_ends_by(late) == late, "no time is left"


STEPS = st.one_of(
    st.tuples(st.just("renewed"), st.integers(-10, 10**6)),
    st.tuples(st.sampled_from(["opened", "deleting", "closing", "reopened", "attempting", "stored"]), st.just(0)),
)


@given(steps=st.lists(STEPS, max_size=30))
def test_no_sequence_of_renewals_and_steps_moves_the_end(steps: list[tuple[str, int]]) -> None:
    held = lease()
    attempt = DeleteAttempt(number=1, name=attempt_name("t", 1), pod="p", pod_uid="u", begun_at=NOW)
    for step, minutes in steps:
        match step:
            case "renewed":
                held = held.renewed(NOW + timedelta(minutes=minutes))
            case "closing" | "reopened":
                held = getattr(held, step)(NOW, ("uid",))
            case "attempting":
                held = held.attempting(attempt)
            case "stored":
                again = parse_lease(held.to_annotation())
                assert again is not None
                held = again
            case _:
                held = getattr(held, step)(NOW)
    assert held.must_end_by == NOW + LIMIT
    assert held.expired(NOW + LIMIT), "however far it was renewed"
    assert not held.overdue(NOW + LIMIT - timedelta(seconds=1))


def test_a_lease_of_a_version_that_knew_no_end_has_none() -> None:
    old = lease(must_end_by=None)
    assert not old.overdue(NOW + timedelta(days=99))
    assert old.ends_at == old.expires_at


def test_why_a_window_is_taken_away_is_said() -> None:
    assert lease().end_text(NOW + timedelta(days=1)) == "its lease ran out at 2026-11-26 03:30:00 UTC"
    renewed = lease().renewed(NOW + timedelta(days=1))
    assert renewed.end_text(NOW + timedelta(days=1)) == "its window had to end by 2026-11-26 07:15:00 UTC"
    assert renewed.ends_at == NOW + LIMIT
