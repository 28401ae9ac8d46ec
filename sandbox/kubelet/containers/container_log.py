"""A container's output as a kubelet keeps it: one line of file for each line, with its time and stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_LONGEST_LINE = 16 * 1024
"""Longer lines are kept in parts (the CRI's tag P), as CRI-O and containerd do."""


@dataclass(frozen=True)
class LogLine:
    """One line, or a part of a long one.

    :param time: RFC 3339 with nanoseconds.
    :param text: the line; ends in a newline unless it goes on in the next one.
    """

    time: str
    text: bytes


class LogWriter:
    """Writes what a container's processes print.

    :param path: the log file; created when the container starts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("ab", buffering=0)

    async def copy(self, streams: Mapping[str, asyncio.StreamReader]) -> None:
        """Keep everything from these streams (by name), up to their ends, and close the log."""
        try:
            await asyncio.gather(*(self._copy(stream, name) for name, stream in streams.items()))
        finally:
            self.close()

    def write(self, name: str, line: bytes, *, whole: bool = True) -> None:
        """Keep one line.

        :param name: ``stdout`` or ``stderr``.
        :param whole: False for a part of a line that goes on.
        """
        now = datetime.now(UTC)
        time = f"{now:%Y-%m-%dT%H:%M:%S.%f}000Z"
        self._file.write(b"%s %s %s %s\n" % (time.encode(), name.encode(), b"F" if whole else b"P", line))

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    async def _copy(self, stream: asyncio.StreamReader, name: str) -> None:
        rest = b""
        while chunk := await stream.read(_LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.write(name, line)
            if len(rest) >= _LONGEST_LINE:
                self.write(name, rest, whole=False)
                rest = b""
        if rest:
            self.write(name, rest, whole=False)


def read_lines(path: Path, tail_lines: int | None = None) -> Iterator[LogLine]:
    """The lines that a log file has now; nothing if there is no such file.

    :param tail_lines: how many of the last ones; None for all.
    """
    try:
        with path.open("rb") as file:
            yield from map(_parse, file if tail_lines is None else deque(file, tail_lines))
    except FileNotFoundError:
        return


async def follow_lines(path: Path, tail_lines: int | None, ended: asyncio.Event) -> AsyncIterator[LogLine]:
    """The lines of a log file and those to come, until the container has ended.

    :param tail_lines: how many of the lines that are already there; None for all.
    :param ended: set when nothing more comes.
    """
    with path.open("rb") as file:
        for line in list(file) if tail_lines is None else deque(file, tail_lines):
            yield _parse(line)
        while True:
            last_round = ended.is_set()
            for line in file:
                yield _parse(line)
            if last_round:
                return
            try:
                await asyncio.wait_for(ended.wait(), 0.05)
            except TimeoutError:
                continue


def _parse(line: bytes) -> LogLine:
    time, _, tag, text = line.rstrip(b"\n").split(b" ", 3)
    return LogLine(time.decode(), text + (b"\n" if tag == b"F" else b""))
