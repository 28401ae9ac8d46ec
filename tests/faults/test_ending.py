"""What the sweep says of a delete that ended well: are the orphans gone, is its report true?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from faults.ending import _look_at_delete
from faults.observers import WindowBlobs

ORPHANS = {"sha256:a", "sha256:b"}


class Storage:
    """Stands in for a sandbox's storage."""

    def __init__(self, *digests: str) -> None:
        self.digests = set(digests)

    def stored_digests(self) -> set[str]:
        return set(self.digests)


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


def test_what_came_while_the_window_was_open_is_known_and_a_new_window_begins_anew() -> None:
    storage: Any = Storage("sha256:first")
    blobs = WindowBlobs(storage)
    blobs.look(True)
    storage.digests = {"sha256:second"}
    blobs.look(True)
    storage.digests = set()
    assert blobs.gone() == {"sha256:first", "sha256:second"}
    blobs.look(False)
    storage.digests = {"sha256:third"}
    blobs.look(True)
    assert blobs.gone() == set()
