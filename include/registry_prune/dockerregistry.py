"""The pruner, ``dockerregistry``: its command lines and what its output means (pure).

Facts are from runs of the real binary; the tests hold them against its recorded output. What it *said* (the
summary on stdout), what was *counted* (log lines on stderr) and how it *ended* (exit status) are kept apart,
because the three can disagree: on an error the summary is printed too, and a lost connection has no status.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Literal, NamedTuple

from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_size, parse_size

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

KEPT_LINES = 20
"""So many unknown, warning and error lines are kept of each kind; all are counted."""
KEPT_LINE_CHARACTERS = 1_000
KEPT_BROKEN = 1_000
"""So many broken images are kept by name, to compare before and after."""


class Stream(StrEnum):
    """Which of its two output streams a line came on."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Summary(Record):
    """What the pruner said at its end.

    :param blobs: number of blobs.
    :param rounded_bytes: their size in bytes; the pruner prints four significant digits only.
    """

    blobs: int
    rounded_bytes: int


class PrunerResult(Record):
    """One run of ``dockerregistry -prune=…``.

    :param exit_status: None when the connection was lost before the pruner's end was known.
    :param ended_how: in words, when there is no exit status.
    :param missing_storage: it warned that there is no storage ("No repositories found").
    :param list_complete: of a delete: ``artifact`` has every line of its log that is about something deleted.
    :param attempts: so many times the delete was begun; all but the last were interrupted.
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
    attempts: int = 1
    earlier_blobs: int = 0
    seconds: float = 0.0
    pod: str = ""

    @property
    def complete(self) -> bool:
        """Whether it did all of its work: exit status 0 *and* the summary."""
        return self.exit_status == 0 and self.said is not None

    def problem(self) -> str | None:
        """What went wrong, in words for the administrator; None for a complete run."""
        if self.complete:
            return None
        what = "dry run" if self.mode == "check" else "delete"
        errors = "; ".join(self.errors) or "it logged no error"
        if self.exit_status is None:
            return f"The end of the {what} in pod {self.pod} is unknown ({self.ended_how}). So far: {self.done()}."
        if self.exit_status == 0:
            return (
                f"The {what} in pod {self.pod} ended with exit status 0 but without the pruner's summary: this is "
                f"no output of dockerregistry. {self._unknown_in_words()}"
            )
        if self.mode == "delete" and self.said is not None:
            return (
                f"The delete in pod {self.pod} stopped midway with exit status {self.exit_status}: {self.done()}. "
                f"The pruner says: {errors}. Repair what it names; another run is safe and goes on from there."
            )
        return (
            f"The {what} in pod {self.pod} failed with exit status {self.exit_status}; it {self.done()}. "
            f"The pruner says: {errors}. "
            f"{self._unknown_in_words()}"
        )

    def done(self) -> str:
        """What it found or did, in words."""
        verb = "found" if self.mode == "check" else "deleted"
        if self.said is None:
            counted = f"{verb} {format_count(self.counted_blobs, 'blob')} (counted in its log; no summary)"
            return counted + self._earlier_in_words()
        size = format_size(self.said.rounded_bytes)
        words = f"{verb} {format_count(self.said.blobs, 'blob')}, about {size}"
        if self.counted_blobs != self.said.blobs:
            words += f" (its log lists {self.counted_blobs:,})"
        return words + self._earlier_in_words()

    def _earlier_in_words(self) -> str:
        if self.attempts == 1:
            return ""
        interrupted = format_count(self.attempts - 1, "interrupted attempt")
        return f", and before that {format_count(self.earlier_blobs, 'blob')} in {interrupted}"

    def _unknown_in_words(self) -> str:
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


CANDIDATE_KINDS = (LineKind.BLOB, LineKind.MANIFEST_LINK, LineKind.REPOSITORY)
"""What a line of the list can be about."""


class Line(NamedTuple):
    """One line of the pruner, understood.

    :param subject: the digest of a blob (``sha256:…``), the link, the repository; for other kinds the message.
    """

    kind: LineKind
    subject: str


class Block(NamedTuple):
    """Many lines of the pruner, understood.

    :param blobs: digests of blobs, 64 hexadecimal digits each.
    :param lines: all other lines; or, if one of them was not quite as expected, all lines.
    """

    blobs: list[bytes]
    lines: list[Line]


_DIGEST = r"sha256:[0-9a-f]{64}"
_MESSAGES: tuple[tuple[LineKind, re.Pattern[str]], ...] = (
    (LineKind.BLOB, re.compile(rf"Would delete blob: ({_DIGEST})")),
    (LineKind.BLOB, re.compile(r"Deleting blob: \S*/blobs/sha256/[0-9a-f]{2}/([0-9a-f]{64})")),
    (LineKind.MANIFEST_LINK, re.compile(r"(?:Would delete|Deleting) manifest link: (\S+)")),
    (LineKind.REPOSITORY, re.compile(r"Would delete repository: (\S+)")),
    (LineKind.REPOSITORY, re.compile(r"Deleting repo: \S*/repositories/(\S+)")),
)
# What nearly every line of a dry run looks like. A line that it does not fit is read by the JSON parser.
_QUICK_BLOB = re.compile(
    rb'^\{"go\.version":"[^"]*","level":"info","msg":"Would delete blob: sha256:(.{64})","time":"[^"]*"\}\n',
    re.MULTILINE,
)
_HEXADECIMAL = b"0123456789abcdef"
_LOGRUS_JSON = re.compile(r'\{"go\.version":"[^"\\]*","level":"(\w+)","msg":"([^"\\]*)","time":"[^"\\]*"\}')
_JSON = json.JSONDecoder(strict=False)
_LOGRUS_TEXT = re.compile(r'time="[^"]*" level=(\w+) msg=("(?:[^"\\]|\\.)*"|\S+)')
_SUMMARY_BLOBS = {
    "check": re.compile(r"Would delete ([0-9]{1,18}) blobs"),
    "delete": re.compile(r"Deleted ([0-9]{1,18}) blobs"),
}
_SUMMARY_SIZE = {
    "check": re.compile(r"Would free up (.+) of disk space"),
    "delete": re.compile(r"Freed up (.+) of disk space"),
}
_HINT = "Use -prune=delete to actually delete the data"
_MISSING_STORAGE = "No repositories found"


def _log_message(line: str) -> tuple[str, str] | None:
    """Level and message of a log line in either of logrus' formats; None if it is in neither."""
    if line.startswith("{"):
        quick = _LOGRUS_JSON.fullmatch(line)
        if quick:
            return quick.group(1), quick.group(2)
        try:
            value = _JSON.decode(line)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, dict) and isinstance(value.get("msg"), str) and isinstance(value.get("level"), str):
            return value["level"], value["msg"]
        return None
    match = _LOGRUS_TEXT.match(line)
    if match is None:
        return None
    level, message = match.groups()
    if message.startswith('"'):
        try:
            message = json.loads(message)
        except ValueError:
            message = message[1:-1]
    return level, message


def understand(line: str) -> Line:
    """What a line of the pruner's log (stderr) is about. Never fails: what it does not know is UNKNOWN."""
    parsed = _log_message(line)
    if parsed is None:
        return Line(LineKind.UNKNOWN, line)
    level, message = parsed
    if level in ("error", "fatal", "panic"):
        return Line(LineKind.ERROR, message)
    if level == "warning":
        return Line(LineKind.WARNING, message)
    for kind, pattern in _MESSAGES:
        match = pattern.fullmatch(message)
        if match:
            subject = match.group(1)
            if kind is LineKind.BLOB and not subject.startswith("sha256:"):
                subject = f"sha256:{subject}"
            return Line(kind, subject)
    return Line(LineKind.NOTE, message)


def _quick_blobs(block: bytes) -> list[bytes]:
    """The digests, if every line of a block is a JSON log line of a blob that would be deleted; else nothing.

    As many matches as line ends, each beginning where a line does and ending with a line end: so each is one line. No
    escape is in any of them, so its strings are as they stand there.
    """
    digests: list[bytes] = _QUICK_BLOB.findall(block)
    if len(digests) != block.count(b"\n") or not block.endswith(b"\n") or b"\\" in block:
        return []
    return [] if b"".join(digests).translate(None, _HEXADECIMAL) else digests


class PrunerOutput:
    """Reads the output of one pruner, in constant memory.

    :param mode: what it was asked to do; only that mode's summary counts.
    """

    def __init__(self, mode: Literal["check", "delete"]) -> None:
        self.mode = mode
        self.counts = dict.fromkeys(LineKind, 0)
        self._kept: dict[LineKind, list[str]] = {
            LineKind.ERROR: [],
            LineKind.WARNING: [],
            LineKind.UNKNOWN: [],
        }
        self._blobs: int | None = None
        self._bytes: int | None = None
        self._missing_storage = False

    def feed(self, stream: Stream, line: str) -> Line:
        """Take one line, without its line end, and say what it is."""
        understood = self._summary_line(line) if stream is Stream.STDOUT else understand(line)
        self.counts[understood.kind] += 1
        kept = self._kept.get(understood.kind)
        if kept is not None and len(kept) < KEPT_LINES:
            kept.append(understood.subject[:KEPT_LINE_CHARACTERS])
        if understood.kind is LineKind.WARNING and understood.subject.startswith(_MISSING_STORAGE):
            self._missing_storage = True
        return understood

    def feed_block(self, stream: Stream, block: bytes) -> Block:
        """Take whole lines, with their line ends, and say what they are: the same as line by line, and quicker."""
        blobs = _quick_blobs(block) if stream is Stream.STDERR else []
        if blobs:
            self.counts[LineKind.BLOB] += len(blobs)
            return Block(blobs, [])
        lines = block.removesuffix(b"\n").split(b"\n")
        return Block([], [self.feed(stream, line.removesuffix(b"\r").decode(errors="replace")) for line in lines])

    def _summary_line(self, line: str) -> Line:
        blobs = _SUMMARY_BLOBS[self.mode].fullmatch(line)
        size = _SUMMARY_SIZE[self.mode].fullmatch(line)
        if blobs:
            self._blobs = int(blobs.group(1))
        elif size:
            try:
                self._bytes = parse_size(size.group(1))
            except ValueError:
                return Line(LineKind.UNKNOWN, line)
        elif line != _HINT:
            return Line(LineKind.UNKNOWN, line)
        return Line(LineKind.SUMMARY, line)

    def result(
        self,
        exit_status: int | None,
        *,
        ended_how: str = "",
        seconds: float = 0.0,
        pod: str = "",
        artifact: str | None = None,
    ) -> PrunerResult:
        """The result, once the pruner has ended (or its end is unknown: ``exit_status`` None)."""
        said = None
        if self._blobs is not None and self._bytes is not None:
            said = Summary(blobs=self._blobs, rounded_bytes=self._bytes)
        return PrunerResult(
            mode=self.mode,
            said=said,
            counted_blobs=self.counts[LineKind.BLOB],
            counted_manifest_links=self.counts[LineKind.MANIFEST_LINK],
            counted_repositories=self.counts[LineKind.REPOSITORY],
            exit_status=exit_status,
            ended_how=ended_how,
            errors=tuple(self._kept[LineKind.ERROR]),
            warnings=tuple(self._kept[LineKind.WARNING]),
            unknown_lines=tuple(self._kept[LineKind.UNKNOWN]),
            unknown_line_count=self.counts[LineKind.UNKNOWN],
            missing_storage=self._missing_storage,
            artifact=artifact,
            seconds=round(seconds, 3),
            pod=pod,
        )
