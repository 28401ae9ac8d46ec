"""What the sweep says of a delete that ended well: are the orphans gone, is its report true?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from faults.arena.ending import _look_at_delete
from faults.arena.observers import WindowBlobs
from tests.faults.arena.played_storage import Storage

ORPHANS = {"sha256:a", "sha256:b"}


def ended(left: set[str], report: dict[str, Any] | None) -> Any:
    """A run whose window was open when there were both orphans and an image."""
    storage: Any = Storage(*ORPHANS, "sha256:needed")
    blobs = WindowBlobs(storage)
    blobs.look(True)
    storage.digests -= ORPHANS - left
    return SimpleNamespace(orphans=ORPHANS, sandbox=storage, clock=SimpleNamespace(blobs=blobs), report=lambda: report)


@pytest.mark.parametrize(
    ("left", "report", "expected"),
    [
        (set[str](), {"deleted_blobs": 2}, ("", "")),
        ({"sha256:a"}, {"deleted_blobs": 1}, ("1 of 2 orphans are left", "")),
        (set[str](), {"deleted_blobs": 3}, ("", "the report says that 3 blobs were deleted, and 2 went")),
        (set[str](), {"deleted_blobs": None}, ("", "the report says that None blobs were deleted, and 2 went")),
        (set[str](), None, ("", None)),
    ],
)
def test_orphans_that_are_left_and_a_report_that_is_wrong_are_said(
    left: set[str], report: dict[str, Any] | None, expected: tuple[str, str | None]
) -> None:
    assert _look_at_delete(ended(left, report)) == expected
