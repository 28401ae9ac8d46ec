"""What the looks at a detached delete tell: its log from where the last look ended, its counts, its end (pure)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from enum import StrEnum

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.detached_delete import FIRST_SEGMENT, NOT_STARTED_STATUS
from include.registry_prune.pruner.dockerregistry import DELETABLE, LineKind, PrunerResult
from include.registry_prune.pruner.output import KEPT_LINE_CHARACTERS, KEPT_LINES, Line, PrunerOutput
from include.registry_prune.records import Record

LONGEST_LOG_LINE_BYTES = 64 * 1024
"""At most this much of a line is read; the pruner's own are a few hundred bytes long."""
_KEPT = (LineKind.ERROR, LineKind.WARNING, LineKind.UNKNOWN)
_SIGNALLED = 128


class DeleteState(StrEnum):
    """What is known of an attempt."""

    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"
    """Its processes are not there any more, and it left no exit status: the container was restarted."""
    ABSENT = "absent"
    """It was never started here."""


class LogPosition(Record):
    """How far the log of an attempt was read, and what it said up to there; enough for another process to go on.

    :param lines: ends of lines before this point.
    :param partial: the beginning of a line whose end was not there yet, in base64: it may end in half a character, and
        what Airflow hands on has to be text.
    :param kept: the lines among them that the result shows: errors, warnings, unknown ones.
    :param lost: some lines were taken away before they were read. The counts are whole all the same.
    """

    segment: int = FIRST_SEGMENT
    offset: int = 0
    lines: int = 0
    partial: str = ""
    blobs: int = 0
    manifest_links: int = 0
    repositories: int = 0
    kept: tuple[str, ...] = ()
    lost: bool = False


class DeleteLog:
    """Reads the output of one look after the other.

    :param position: where another reader stopped.
    :param on_line: called for every line of the log.
    """

    def __init__(self, position: LogPosition | None = None, on_line: Callable[[Line], object] | None = None) -> None:
        start = position or LogPosition()
        self.segment, self.offset, self.lost = start.segment, start.offset, start.lost
        self.state = DeleteState.RUNNING
        self.exit_status: int | None = None
        self._lines = start.lines
        self._partial = _decoded(start.partial)
        self._head: bytes | None = None
        self._kept: dict[LineKind, list[str]] = {kind: [] for kind in _KEPT}
        self._on_line: Callable[[Line], object] = lambda line: None
        self._output = PrunerOutput("delete")
        for line in start.kept:
            self._take_line(line)
        self._set_counts(start.blobs, start.manifest_links, start.repositories)
        if on_line:
            self._on_line = on_line

    @property
    def blobs(self) -> int:
        """Blobs of which the pruner said that it deletes them."""
        return self._output.counts[LineKind.BLOB]

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state is not DeleteState.RUNNING

    @property
    def interrupted(self) -> bool:
        """Whether it was ended from outside, so that another attempt may go on from there."""
        if self.state is DeleteState.ENDED:
            return self.exit_status == NOT_STARTED_STATUS or (self.exit_status or 0) > _SIGNALLED
        return self.state is not DeleteState.RUNNING

    def position(self) -> LogPosition:
        """For another reader to go on from here."""
        return LogPosition(
            segment=self.segment,
            offset=0 if self._head is not None else self.offset,
            lines=self._lines,
            partial=base64.b64encode(self._partial).decode(),
            blobs=self.blobs,
            manifest_links=self._output.counts[LineKind.MANIFEST_LINK],
            repositories=self._output.counts[LineKind.REPOSITORY],
            kept=tuple(line for lines in self._kept.values() for line in lines),
            lost=self.lost,
        )

    def feed(self, stream: Stream, line: str) -> None:
        """Take one line that a look printed; one that is none of its lines is left alone."""
        word, _, rest = line.partition(" ")
        if stream is not Stream.STDOUT:
            return
        if word == "log":
            self._take_log(rest)
        elif word == "out":
            for each in _decoded(rest).decode("utf-8", "replace").splitlines():
                self._output.feed(Stream.STDOUT, each)
        elif word in (DeleteState.ENDED, DeleteState.GONE, DeleteState.ABSENT) and rest.endswith("."):
            # The point says that the line is whole: a connection that is cut leaves "ended 1" of "ended 137".
            status = rest.removesuffix(".").strip()
            self._end(DeleteState(word), int(status) if status.isdecimal() else None)

    def result(self, *, ended_how: str, seconds: float, pod: str) -> PrunerResult:
        """What is known of this attempt: all, once it is over."""
        return self._output.result(self.exit_status, ended_how=ended_how, seconds=seconds, pod=pod)

    def _end(self, state: DeleteState, exit_status: int | None) -> None:
        if self._partial:
            self._take_bytes(b"\n")
        self.state, self.exit_status = state, exit_status

    def _take_log(self, rest: str) -> None:
        numbers, complete, encoded = rest.rpartition(" ")
        where = _whole_numbers(numbers.split(" "), 2)
        if not complete or where is None or where[0] < self.segment:
            return
        segment, offset = where
        data = _decoded(encoded)
        if segment > self.segment:
            self.segment, self.offset = segment, 0
        if offset > self.offset:
            # A line of this look was damaged: what it told is not told again.
            self.lost, self._partial, self._head = True, b"", None
            self.offset = offset
        # A look that was cut is repeated; what came of it counts once.
        data = data[self.offset - offset :]
        if self.offset == 0:
            self._head = b""
        self.offset += len(data)
        if self._head is not None:
            head, ended, data = (self._head + data).partition(b"\n")
            self._head = None if ended else head
            if not ended:
                return
            self._compare(head)
        self._take_bytes(data)

    def _compare(self, head: bytes) -> None:
        """The first line of a segment has the counts of all before: where lines were lost, these are true.

        Unless the folder was full when they were written: then what was counted here may be more.
        """
        counts = _whole_numbers(head.decode("ascii", "replace").split()[1:], 4)
        if counts is not None and counts[3] == self._lines:
            return
        self.lost = True
        self._partial = b""
        if counts is not None:
            *deleted, self._lines = counts
            self._set_counts(*map(max, deleted, self._counts()))

    def _counts(self) -> tuple[int, int, int]:
        blobs, manifest_links, repositories = (self._output.counts[kind] for kind in DELETABLE)
        return blobs, manifest_links, repositories

    def _set_counts(self, blobs: int, manifest_links: int, repositories: int) -> None:
        self._output.counts |= dict(zip(DELETABLE, (blobs, manifest_links, repositories), strict=True))

    def _take_bytes(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._lines += 1
            whole, self._partial = self._partial + line, b""
            self._take_line(whole[:LONGEST_LOG_LINE_BYTES].decode("utf-8", "replace").removesuffix("\r"))
        self._partial = (self._partial + rest)[:LONGEST_LOG_LINE_BYTES]

    def _take_line(self, text: str) -> None:
        line = self._output.feed(Stream.STDERR, text)
        kept = self._kept.get(line.kind)
        if kept is not None and len(kept) < KEPT_LINES:
            kept.append(text[: 4 * KEPT_LINE_CHARACTERS])
        self._on_line(line)


def _whole_numbers(words: list[str], count: int) -> list[int] | None:
    """The words as numbers, if they are so many and all are."""
    if len(words) != count or not all(word.isascii() and word.isdecimal() for word in words):
        return None
    return [int(word) for word in words]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
