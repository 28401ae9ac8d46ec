"""The frames of an exec, taken apart (pure): whole lines of its two output streams, in constant memory, and its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

MAXIMUM_LINE_BYTES = 1 << 20
"""Of a longer line the rest is left out, so that memory stays bounded."""
_CUT = b" [...]"
"""Stands for what was left out."""
_ERROR_CHANNEL = 3


class Stream(StrEnum):
    """Which of its two output streams a line came on."""

    STDOUT = "stdout"
    STDERR = "stderr"


LineHandler = Callable[[Stream, str], object]
BlockHandler = Callable[[Stream, bytes], object]
"""Gets whole lines with their ends; of the last line of all the end may be missing."""
_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}


@dataclass(frozen=True)
class ExecEnd:
    """How a command in a pod ended.

    :param exit_status: None when its end is unknown.
    :param how: in words.
    """

    exit_status: int | None
    how: str


@dataclass
class _Blocks:
    """Cuts the bytes of one stream into blocks that end at a line's end; half a line is kept for the next.

    Of a line that is too long the rest is left out: it stays one line, and nothing takes a part of it for a line.
    """

    handler: BlockHandler
    stream: Stream
    rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            first_line = data.index(b"\n")
            if len(self.rest) + first_line > MAXIMUM_LINE_BYTES:
                self._keep(data[:first_line])
                data, end = data[first_line:], end - first_line
            block = bytes(self.rest) + data[:end]
            self.rest.clear()
            self.handler(self.stream, block)
        self._keep(data[end:])

    def _keep(self, data: bytes) -> None:
        if len(self.rest) <= MAXIMUM_LINE_BYTES:
            self.rest += data
            if len(self.rest) > MAXIMUM_LINE_BYTES:
                self.rest[MAXIMUM_LINE_BYTES:] = _CUT

    def end(self) -> None:
        if self.rest:
            self.handler(self.stream, bytes(self.rest))
            self.rest.clear()


def line_by_line(on_line: LineHandler) -> BlockHandler:
    """Takes blocks and hands on their lines, without line ends; what is no UTF-8 is replaced."""

    def take(stream: Stream, block: bytes) -> None:
        for line in block.removesuffix(b"\n").split(b"\n"):
            on_line(stream, line.removesuffix(b"\r").decode(errors="replace"))

    return take


class Channels:
    """Takes the frames of one exec connection apart (pure): output to the handler, the status for the end.

    :param on_line: called with the stream and each line.
    :param on_block: called instead with the stream and many lines at once, as bytes: quicker by far.
    """

    def __init__(self, on_line: LineHandler | None = None, *, on_block: BlockHandler | None = None) -> None:
        handler = on_block or line_by_line(on_line or (lambda _stream, _line: None))
        self._blocks = {channel: _Blocks(handler, stream_) for channel, stream_ in _STREAMS.items()}
        self._status = b""

    def feed(self, frame: bytes) -> None:
        """Take one data frame: a channel byte and its data."""
        if not frame:
            return
        channel, data = frame[0], frame[1:]
        if channel in self._blocks:
            self._blocks[channel].feed(data)
        elif channel == _ERROR_CHANNEL:
            self._status += data

    @property
    def has_status(self) -> bool:
        """Whether the status has come: nothing of worth follows it."""
        return bool(self._status)

    def end(self, how: str) -> ExecEnd:
        """The connection is at its end: hand on what is left of the lines, and say how the command ended.

        :param how: why the connection ended, used when no status came.
        """
        for blocks in self._blocks.values():
            blocks.end()
        if not self._status:
            return ExecEnd(None, how)
        try:
            status = json.loads(self._status)
            if status["status"] == "Success":
                return ExecEnd(0, "exit status 0")
            if status.get("reason") == "NonZeroExitCode":
                exit_status = int(status["details"]["causes"][0]["message"])
                return ExecEnd(exit_status, f"exit status {exit_status}")
            return ExecEnd(None, str(status.get("message") or status))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError):
            return ExecEnd(None, f"the exec's status is unreadable: {self._status[:300]!r}")
