"""What the sweep says of a delete that ended well: are the orphans gone, is its report true?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from faults.arena import ending
from faults.arena.arena import HeldLease
from faults.arena.ending import _left, _untrue
from faults.arena.observers import WindowBlobs
from tests.faults.arena.played_storage import Storage

NOW, HOUR = datetime.now(UTC), timedelta(hours=1)
ORPHANS = {"sha256:a", "sha256:b"}


def ended(left: set[str], report: dict[str, Any] | None) -> Any:
    """A run whose window was open when there were both orphans and an image."""
    storage: Any = Storage(*ORPHANS, "sha256:needed")
    blobs = WindowBlobs(storage)
    blobs.look(True)
    storage.digests -= ORPHANS - left
    return SimpleNamespace(orphans=ORPHANS, sandbox=storage, clock=SimpleNamespace(blobs=blobs),
        report=lambda: report, fault=SimpleNamespace(asked=None))  # fmt: skip


@pytest.mark.parametrize(
    ("left", "report", "expected"),
    [
        (set[str](), {"deleted_blobs": 2}, ([], [])),
        ({"sha256:a"}, {"deleted_blobs": 1}, (["1 of 2 orphans are left"], [])),
        (set[str](), {"deleted_blobs": 3}, ([], ["the report says that 3 blobs were deleted, and 2 went"])),
        (set[str](), {"deleted_blobs": None}, ([], ["the report says that None blobs were deleted, and 2 went"])),
        (set[str](), None, ([], None)),
    ],
)
def test_orphans_that_are_left_and_a_report_that_is_wrong_are_said(
    left: set[str], report: dict[str, Any] | None, expected: tuple[list[str], list[str] | None]
) -> None:
    arena = ended(left, report)
    assert (_left(arena), _untrue(arena)) == expected


@pytest.mark.parametrize(
    ("report", "true"),
    [
        ({"deleted_blobs": 2, "outcome": "pruned"}, True),
        ({"deleted_blobs": 1, "outcome": "pruned"}, False),
        ({"deleted_blobs": 0, "outcome": "no hard prune"}, False),
        ({"deleted_blobs": None, "outcome": "no hard prune"}, False),
        ({"deleted_blobs": None, "outcome": "failed"}, True),
    ],
)
def test_of_a_run_that_was_marked_a_report_may_not_know_how_much_went_but_not_deny_it(
    report: dict[str, Any], true: bool
) -> None:
    arena = ended(set(), report)
    arena.fault.asked = frozenset({"report true"})
    assert (_untrue(arena) == []) is true


def lease(expires_at: datetime) -> HeldLease:
    return HeldLease("registry_prune/another", expires_at)


@pytest.mark.parametrize(
    ("run", "read_only", "held", "over", "green_is_true"),
    [
        ("success", False, None, True, True),
        ("success", True, None, True, False),
        ("success", True, lease(NOW - HOUR), False, False),
        ("success", True, lease(NOW + HOUR), True, False),
        ("success", True, lease(NOW + HOUR), False, True),
        ("failed", True, lease(NOW - HOUR), True, True),
    ],
)
def test_no_run_is_green_beside_a_registry_that_is_read_only_for_somebody_dead(
    run: str, read_only: bool, held: HeldLease | None, over: bool, green_is_true: bool
) -> None:
    arena: Any = SimpleNamespace(lease=lambda: held, read_only_wanted=lambda: read_only, is_over=lambda _: over)
    assert (ending._false_green(arena, run) == []) is green_is_true
