"""What deletes by the list have kept, in the words of tasks and reports (pure)."""

from __future__ import annotations

from typing import Literal

from include.registry_prune.exact_delete.events import Keeps, Kept
from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_size

LOOK = "storage"
"""The XCom in which ``verify_access`` hands over its look at the storage."""


class StorageLook(Record):
    """What the small image sees of the registry's storage.

    :param keeps: what becomes of what a delete by the list takes; ``kept``: what earlier ones have kept.
    """

    version: Literal[1] = 1
    storage: str
    keeps: Keeps
    kept: tuple[Kept, ...] = ()

    def text(self) -> str:
        """For people."""
        what = {
            Keeps.RENAMED: "a delete by the list can be undone as long as what it took is kept",
            Keeps.VERSIONS: "the bucket keeps versions, so a delete by the list can be undone, and frees no space "
            "before the bucket's own rules remove them",
            Keeps.NOTHING: "what a delete by the list takes is gone for good",
        }[self.keeps]
        kept = "; ".join(each.text() for each in self.kept)
        return f"{self.storage}: {what}" + (f". Kept of earlier deletes: {kept}" if kept else "")


class Removal(Record):
    """What was removed for good.

    :param names: whose it was; ``freed_bytes``: of the blobs' content.
    :param kept: what is kept still.
    """

    version: Literal[1] = 1
    names: tuple[str, ...] = ()
    blobs: int = 0
    freed_bytes: int = 0
    kept: tuple[Kept, ...] = ()

    def text(self) -> str:
        """For people."""
        freed = f"{format_count(self.blobs, 'blob')} removed for good, {format_size(self.freed_bytes)} freed"
        kept = "; ".join(each.text() for each in self.kept) or "nothing"
        return f"{freed}. Kept: {kept}"


class Undone(Record):
    """What an undo put back.

    :param run: whose delete.
    :param there: blobs that are there already, or not kept any more.
    """

    version: Literal[1] = 1
    run: str
    put_back: int
    there: int = 0
    repositories: int = 0

    def text(self) -> str:
        """For people."""
        words = f"Put back of run {self.run}: {format_count(self.put_back, 'blob')}"
        if self.repositories:
            words += f", {format_count(self.repositories, 'repository')}"
        return words + (f"; {self.there:,} are there already, or not kept any more" if self.there else "")
