"""The pruner's output, line by line or in blocks: what each line means, and what it comes to (pure)."""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult, Summary
from include.registry_prune.units import parse_size

KEPT_LINES = 20
"""At most this many unknown, warning and error lines are kept of each kind; all are counted."""
KEPT_LINE_CHARACTERS = 1_000


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
