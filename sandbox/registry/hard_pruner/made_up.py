"""Orphans that are in no storage: a pruner's output of any length, as quickly as it can be written.

Each has a digest of its own, the same in every run. What a delete has "deleted" is noted, so that the next run goes on
from there and a dry run after it finds no more than what is left.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from sandbox.base.paths import StateDirectory
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.hard_pruner.logrus import Logger
from sandbox.registry.storage.layout import blob_path

_BLOCK_LINES = 2000
_CHUNK_SECONDS = 0.02
"""When each orphan takes time, the lines of this long are written at once."""
_NUMBER = "@" * 16
"""Stands for the number of a block: the last digits of the digests in it."""
_STDERR = 2


def digest(index: int) -> str:
    """Digest of the orphan with that number, counted from 0."""
    block, line = divmod(index, _BLOCK_LINES)
    return _digest(line, f"{block:016x}")


def _digest(line: int, block: str) -> str:
    return "sha256:" + hashlib.sha256(b"%d" % line).hexdigest()[: -len(block)] + block


class MadeUpOrphans:
    """The orphans of one sandbox.

    :param count: how many there are in all.
    :param size: bytes of each.
    :param deleted: file with the number of those that have been deleted.
    """

    def __init__(self, count: int, size: int, deleted: Path) -> None:
        self.size = size
        self._count = count
        self._deleted = deleted

    @classmethod
    def ordered(cls, faults: PrunerFaults, environ: Mapping[str, str]) -> Self | None:
        """Those that a process in a pod is ordered to list; None: it lists those in the storage."""
        if faults.made_up_orphans is None:
            return None
        state = StateDirectory(Path(environ["SANDBOX_STATE"]))
        return cls(faults.made_up_orphans, faults.made_up_bytes, state.made_up_deleted)

    def tell(self, log: Logger, *, delete: bool, seconds_each: float) -> Iterator[int]:
        """Write the line of each orphan that is left, and delete it if that is wanted.

        :param seconds_each: how long one takes.
        :returns: an iterator that gives, after each write, how many orphans have been listed.
        """
        first, started = self._first(), time.monotonic()
        at_once = _BLOCK_LINES if seconds_each <= 0 else max(int(_CHUNK_SECONDS / seconds_each), 1)
        template = _template(log, delete=delete)
        index = first
        while index < self._count:
            block, line = divmod(index, _BLOCK_LINES)
            lines = min(at_once, _BLOCK_LINES - line, self._count - index)
            time.sleep(max(started + (index + lines - first) * seconds_each - time.monotonic(), 0))
            _write(_filled(template, block, line, lines, log))
            index += lines
            if delete:
                self._deleted.write_text(str(index))
            yield index - first

    def _first(self) -> int:
        try:
            return int(self._deleted.read_text())
        except (FileNotFoundError, ValueError):
            return 0


def _template(log: Logger, *, delete: bool) -> bytes:
    """The lines of a block, each as long as the others; none at a level that shows none."""
    if not log.enabled("info"):
        return b""
    digests = (_digest(line, _NUMBER) for line in range(_BLOCK_LINES))
    messages = (f"Deleting blob: {blob_path(found)}" if delete else f"Would delete blob: {found}" for found in digests)
    return "".join(log.undated(message) for message in messages).encode()


def _filled(template: bytes, block: int, line: int, lines: int, log: Logger) -> bytes:
    length = len(template) // _BLOCK_LINES
    part = template[line * length : (line + lines) * length]
    return log.dated(part.replace(_NUMBER.encode(), b"%016x" % block))


def _write(content: bytes) -> None:
    sys.stderr.flush()
    left = memoryview(content)
    while left:
        left = left[os.write(_STDERR, left) :]
