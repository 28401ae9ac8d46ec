"""The lease says which run opened the window; whoever cannot read it leaves the registry alone."""

from __future__ import annotations

import functools
import json
import operator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.window.lease import (
    ANNOTATION,
    DeleteAttempt,
    Holder,
    Lease,
    LeaseError,
    check_may_arm,
    new_window,
    parse_lease,
)

ARMED = datetime(2026, 11, 23, 3, 20, tzinfo=UTC)
NOW = ARMED + timedelta(hours=1)
OURS = "registry_prune/scheduled__2026-11-23T03:15:00+00:00"
THEIRS = "registry_prune/manual__2026-11-22T09:00:00+00:00"
US = Holder(run=OURS, token=OURS)
REMOVE = f"oc annotate configs.imageregistry.operator.openshift.io/cluster {ANNOTATION}-"


def lease(holder: str = OURS, **changes: Any) -> Lease:
    fields: dict[str, Any] = {
        "holder": holder,
        "token": holder,
        "armed_at": ARMED,
        "expires_at": ARMED + timedelta(hours=20),
    }
    return Lease(**(fields | changes))


moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=9, minutes=30))]),
)


texts = st.text(max_size=600).filter(str.isprintable)


@given(
    before=st.builds(
        Lease,
        holder=texts,
        token=texts,
        run_url=texts,
        armed_at=moments,
        opened_at=st.none() | moments,
        expires_at=moments,
        read_only_before=st.booleans(),
        image_pruner_suspended_before=st.none() | st.booleans(),
    )
)
def test_a_lease_comes_back_from_its_annotation(before: Lease) -> None:
    assert parse_lease(before.to_annotation()) == before


def test_no_annotation_is_no_lease() -> None:
    assert parse_lease(None) is None


VALID = lease().to_annotation()


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "garbage",
        "null",
        "{}",
        "[]",
        VALID[:-1],
        VALID.replace('"holder"', '"owner"'),
        VALID.replace("2026-11-23T03:20:00Z", "2026-11-23T03:20:00"),
        VALID.replace("2026-11-23T03:20:00Z", "yesterday"),
        "[" * 100_000,
    ],
    ids=["empty", "words", "null", "no fields", "list", "cut", "no holder",
         "no time zone", "no time", "deep"],
)  # fmt: skip
def test_what_is_no_lease_is_shown_with_what_to_do(annotation: str) -> None:
    with pytest.raises(LeaseError) as error:
        parse_lease(annotation)
    message = str(error.value)
    assert f"The annotation {ANNOTATION} of Config cluster is no lease" in message
    assert repr(annotation[:50])[1:-1] in message
    assert message.endswith(f"See that no prune runs and the registry is read-write, then remove it: {REMOVE}")
    assert len(message) < 1000


@given(annotation=st.text() | st.binary().map(lambda data: data.decode(errors="replace")))
def test_no_annotation_is_too_strange(annotation: str) -> None:
    with pytest.raises(LeaseError, match="is no lease"):
        parse_lease(annotation)


def test_the_first_opening_counts() -> None:
    opened = lease().opened(ARMED + timedelta(minutes=1))
    assert opened.opened_at == ARMED + timedelta(minutes=1)
    assert opened.opened(ARMED + timedelta(hours=1)) == opened
    assert lease().opened_at is None


OPENED = lease().opened(ARMED)
MAY_ARM = {
    "nothing there": (None, False),
    "ours, not opened yet": (lease(), False),
    "ours, opened": (OPENED, True),
    "ours, opened, already set back": (OPENED, False),
}
MAY_NOT = {
    "read-only, no lease": (None, True, "somebody else made the registry read-only"),
    "read-only, ours, but not by us": (lease(), True, "It is left alone: neither pruned nor set back"),
    "theirs, not opened yet": (lease(THEIRS), False, f"Another run holds the read-only window: {THEIRS}"),
    "theirs, opened": (lease(THEIRS, opened_at=ARMED), True, "since 2026-11-23 03:20:00 UTC"),
    "theirs, set back": (lease(THEIRS, opened_at=ARMED), False, "until 2026-11-23 23:20:00 UTC"),
    "theirs, with its page": (lease(THEIRS, run_url="https://airflow/run"), False, "https://airflow/run"),
    "theirs, what happens next": (lease(THEIRS), False, "the guard or the next run closes its window after that time"),
    "theirs, one second before it runs out": (
        lease(THEIRS, expires_at=NOW + timedelta(seconds=1)),
        False,
        "A run that works",
    ),
}


@pytest.mark.parametrize(("held", "read_only"), MAY_ARM.values(), ids=MAY_ARM.keys())
def test_a_run_may_arm(held: Lease | None, read_only: bool) -> None:
    assert check_may_arm(held, holder=US, closed=(), read_only=read_only, now=NOW) is None


@pytest.mark.parametrize(("held", "read_only", "reason"), MAY_NOT.values(), ids=MAY_NOT.keys())
def test_a_run_may_not_arm(held: Lease | None, read_only: bool, reason: str) -> None:
    with pytest.raises(LeaseError) as error:
        check_may_arm(held, holder=US, closed=(), read_only=read_only, now=NOW)
    assert reason in str(error.value)


@pytest.mark.parametrize("opened", [False, True])
def test_the_window_of_a_run_whose_lease_ran_out_has_to_be_closed_first(opened: bool) -> None:
    dead = lease(THEIRS, expires_at=NOW, opened_at=ARMED if opened else None)
    assert check_may_arm(dead, holder=US, closed=(), read_only=opened, now=NOW) == dead


def test_our_own_lease_is_never_taken_for_dead() -> None:
    assert check_may_arm(lease(expires_at=ARMED), holder=US, closed=(), read_only=False, now=NOW) is None


def test_a_renewal_moves_the_end_and_nothing_else() -> None:
    renewed = OPENED.renewed(NOW)
    assert renewed.expires_at == NOW
    assert renewed.model_copy(update={"expires_at": OPENED.expires_at}) == OPENED


def test_the_first_delete_and_the_first_closing_count() -> None:
    deleting = lease().deleting(ARMED).deleting(NOW)
    assert deleting.delete_started_at == ARMED
    closing = deleting.closing(ARMED, ("pod-1",)).closing(NOW, ("pod-2",))
    assert (closing.closing_since, closing.pods_before_closing) == (ARMED, ("pod-1",))


def test_of_a_lease_of_a_newer_version_what_is_not_known_is_kept() -> None:
    """Guards the lenient reading: a guard of an older image renews and closes windows that a newer project opened."""
    newer = VALID.replace('"version":1', '"version":2').replace("}", ',"must_end_by":"2026-11-23T07:20:00Z"}')
    read = parse_lease(newer)
    assert read is not None
    assert read.held_by(US)
    assert '"must_end_by":"2026-11-23T07:20:00Z"' in read.renewed(NOW).to_annotation()


@pytest.mark.parametrize("part", [("attempt",), ("attempt", "earlier")], ids=".".join)
def test_in_the_parts_of_a_lease_too_what_is_not_known_is_kept(part: tuple[str, ...]) -> None:
    """Guards an older guard in mid-delete: it would fail every round, and what it writes would lose the rest."""
    attempt = DeleteAttempt(number=1, name="registry-prune-01-1", pod="pod", pod_uid="uid", begun_at=ARMED)
    newer = json.loads(lease().attempting(attempt).to_annotation())
    functools.reduce(operator.getitem, part, newer)["newer"] = "kept"
    read = parse_lease(json.dumps(newer))
    assert read is not None
    written = json.loads(read.renewed(NOW).to_annotation())
    assert functools.reduce(operator.getitem, part, written)["newer"] == "kept"


def test_a_lease_of_the_first_release_has_a_window_of_its_own() -> None:
    """It has no token: what named its window there names it now, the same wherever it is read."""
    old = lease().model_dump(mode="json", exclude={"token"})
    first, again = Lease.from_json(old), Lease.from_json(old)
    assert first.held_by(again.owner)
    later = Lease.from_json(old | {"armed_at": "2026-11-24T03:20:00Z"})
    assert not first.held_by(later.owner)


CLOSED_WINDOWS = {
    "closed, and its lease gone": (None, (OURS,)),
    "closed, and another's lease there": (lease(THEIRS, expires_at=NOW), ("more", OURS)),
    "being closed": (lease(opened_at=ARMED, closing_since=ARMED), ()),
}


@pytest.mark.parametrize(("held", "closed"), CLOSED_WINDOWS.values(), ids=CLOSED_WINDOWS.keys())
def test_a_window_is_opened_once(held: Lease | None, closed: tuple[str, ...]) -> None:
    """Guards the list of closed windows: a task that is cleared days later begins nothing."""
    with pytest.raises(LeaseError, match="was closed, and a window is opened once"):
        check_may_arm(held, holder=US, closed=closed, read_only=False, now=NOW)


def test_a_run_knows_its_windows_and_no_others() -> None:
    mine = Holder(run=OURS, token=new_window("a1"))
    assert mine.of_run("a1")
    assert not mine.of_run("a")
    assert not mine.of_run("")
    assert new_window("a1") != new_window("a1")
    assert (mine.dag_id, mine.run_id) == ("registry_prune", "scheduled__2026-11-23T03:15:00+00:00")
