"""What is watched while a run meets its fault."""

from __future__ import annotations

from typing import Any

from faults.arena.observers import WindowBlobs
from tests.faults.arena.played_storage import Storage


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
