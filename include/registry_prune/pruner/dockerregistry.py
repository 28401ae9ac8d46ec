"""The pruner, ``dockerregistry``: its command lines and what its output means (pure).

Facts are from runs of the real binary; the tests hold them against its recorded output. What it *said* (the
summary on stdout), what was *counted* (log lines on stderr) and how it *ended* (exit status) are kept apart,
because the three can disagree: on an error the summary is printed too, and a lost connection has no status.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from include.registry_prune.records import Record, WindowRecord
from include.registry_prune.units import format_count, format_size

EXECUTABLE = "/usr/bin/dockerregistry"
# The container's own level may hide the list (warn) or bury it (debug), so both are always set.
LOGGING = "REGISTRY_LOG_LEVEL=info REGISTRY_LOG_FORMATTER=json"
CHECK_COMMAND = ("/bin/sh", "-c", f"{LOGGING} exec {EXECUTABLE} -prune=check")
WRITABLE_FOLDERS = ("/dev/shm", "/etc/pki/ca-trust/extracted")  # noqa: S108 - in a pod, and of its own
"""What can be written to in a registry pod: its root file system is read-only since 4.20."""
CLOSING_MARKER = "registry-prune.closing"
"""File in the first of these that takes it: this pod's window is being closed, no delete starts here any more."""
INTEGRITY_COMMAND = (
    "/bin/sh",
    "-c",
    f"{LOGGING} exec {EXECUTABLE} -experimental -restore-mode=check-database",
)

KEPT_BROKEN = 1_000
"""At most this many broken images are kept by name, to compare before and after."""


class Summary(Record):
    """What the pruner said at its end.

    :param blobs: number of blobs.
    :param rounded_bytes: their size in bytes; the pruner prints four significant digits only.
    """

    blobs: int
    rounded_bytes: int


class ByList(Record):
    """What only a delete by the list has.

    :param storage: for people.
    :param keeps: what becomes of what is deleted: ``renamed``, ``versions`` or ``nothing``; empty: it never said.
    :param kept_as: name of the folder of what is kept, if it is one.
    :param record: place of its record: what became of each part of the list.
    :param missing: blobs that were not there any more; ``failed``: that could not be deleted.
    :param put_back: blobs that an Image came to name meanwhile, and that were put back.
    """

    storage: str = ""
    keeps: str = ""
    kept_as: str = ""
    record: str | None = None
    missing: int = 0
    failed: int = 0
    put_back: int = 0

    @property
    def can_be_undone(self) -> bool:
        """Whether anything is kept."""
        return self.keeps in ("renamed", "versions")


class PrunerResult(WindowRecord):
    """One run of ``dockerregistry -prune=…``, or of a delete by the list.

    :param exit_status: None when the connection was lost before the pruner's end was known.
    :param ended_how: in words, when there is no exit status.
    :param missing_storage: it warned that there is no storage ("No repositories found").
    :param list_complete: of a delete: ``artifact`` has every line of its log that is about something deleted.
    :param attempts: how many times the delete was begun; all but the last were interrupted.
    :param revived_blobs: of a survey that stands for the dry run: so many of the blobs are needed again by now, and are
        in ``artifact`` no more.
    :param sliced: a delete that was ended because its window's time was over; the next run goes on.
    :param by_list: of a delete by the list; its summary has the blobs of all its attempts, and about so many bytes as
        the dry run said.
    :param earlier_blobs: deleted by the attempts before the last, counted in their logs. Not part of the other counts.
    """

    version: Literal[1] = 1
    mode: Literal["check", "delete"]
    said: Summary | None
    counted_blobs: int = 0
    counted_manifest_links: int = 0
    counted_repositories: int = 0
    exit_status: int | None
    ended_how: str = ""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown_lines: tuple[str, ...] = ()
    unknown_line_count: int = 0
    missing_storage: bool = False
    artifact: str | None = None
    list_complete: bool = False
    revived_blobs: int = 0
    sliced: bool = False
    attempts: int = 1
    earlier_blobs: int = 0
    by_list: ByList | None = None
    seconds: float = 0.0
    pod: str = ""

    @property
    def complete(self) -> bool:
        """Whether it did all of its work: exit status 0 *and* the summary."""
        return self.exit_status == 0 and self.said is not None

    @property
    def orphans(self) -> int | None:
        """Blobs that a dry run would delete; None without its summary."""
        return None if self.said is None else self.said.blobs - self.revived_blobs

    @property
    def deleted_blobs(self) -> int:
        """Blobs that a delete took, in all its attempts."""
        return self.earlier_blobs + (self.said.blobs if self.said else self.counted_blobs)

    def problem(self) -> str | None:
        """What went wrong, in words for the administrator; None for a complete run, and for a slice."""
        if self.complete or self.sliced:
            return None
        what = "dry run" if self.mode == "check" else "delete"
        errors = "; ".join(self.errors) or "it logged no error"
        if self.exit_status is None:
            return f"The end of the {what} in pod {self.pod} is unknown ({self.ended_how}). So far: {self.text()}."
        if self.exit_status == 0:
            return (
                f"The {what} in pod {self.pod} ended with exit status 0 but without the pruner's summary: this is "
                f"no output of dockerregistry. {self._unknown_text()}"
            )
        if self.mode == "delete" and self.said is not None:
            return (
                f"The delete in pod {self.pod} stopped midway with exit status {self.exit_status}: {self.text()}. "
                f"The pruner says: {errors}. Repair what it names; another run is safe and goes on from there."
            )
        return (
            f"The {what} in pod {self.pod} failed with exit status {self.exit_status}; it {self.text()}. "
            f"The pruner says: {errors}. "
            f"{self._unknown_text()}"
        )

    def text(self) -> str:
        """What it found or did, in words."""
        verb = "found" if self.mode == "check" else "deleted"
        if self.said is None:
            why = "ended as the window's time was over" if self.sliced else "no summary"
            counted = f"{verb} {format_count(self.counted_blobs, 'blob')} (counted in its log; {why})"
            return counted + self._earlier_text()
        size = format_size(self.said.rounded_bytes)
        words = f"{verb} {format_count(self.said.blobs, 'blob')}, about {size}"
        if self.counted_blobs != self.said.blobs:
            words += f" (its log lists {self.counted_blobs:,})"
        if self.revived_blobs:
            words += f"; {self.revived_blobs:,} of them are needed again"
        return words + self._earlier_text()

    def _earlier_text(self) -> str:
        if self.attempts == 1:
            return ""
        interrupted = format_count(self.attempts - 1, "interrupted attempt")
        return f", and before that {format_count(self.earlier_blobs, 'blob')} in {interrupted}"

    def _unknown_text(self) -> str:
        if not self.unknown_line_count:
            return ""
        shown = " | ".join(self.unknown_lines[:3])
        return f"{format_count(self.unknown_line_count, 'line')} that the pruner does not print, such as: {shown}"


class LineKind(StrEnum):
    """What a line of the pruner is about."""

    BLOB = "blob"
    MANIFEST_LINK = "manifest link"
    REPOSITORY = "repository"
    SUMMARY = "summary"
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    UNKNOWN = "unknown"


DELETABLE = (LineKind.BLOB, LineKind.MANIFEST_LINK, LineKind.REPOSITORY)
"""What a hard prune deletes: what a list has lines about, and what its logs are counted for."""
