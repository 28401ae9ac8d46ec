"""The form of a list of candidates, as a dry run writes it and the delete too (pure).

A gzip file of lines: the first is a JSON object that says whose list it is; each further line is a kind, a space and a
subject (``blob sha256:…``, ``manifest link NS/NAME@sha256:…``, ``repository NS/NAME``). Beside it stands a
:class:`Seal`, written last: a list without one is unfinished, one that disagrees with it is damaged.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

from isal import isal_zlib

from include.registry_prune.lists.digests import HEXADECIMAL
from include.registry_prune.pruner.dockerregistry import DELETABLE, LineKind
from include.registry_prune.records import Record

_GZIP, _SMALL_WINDOW_GZIP, _LITTLE_MEMORY = 16 + zlib.MAX_WBITS, 16 + 13, 2
_READ_BYTES = 256 * 1024


class DamagedListError(OSError):
    """A list that is unfinished or not what was written; the message names it."""


class Seal(Record):
    """What a finished list is: written beside it, last.

    :param sha256: of the compressed file, as ``sha256sum`` prints it.
    :param counts: lines of each kind.
    :param head: run, cluster, time and pod, as in the list's first line.
    :param complete: all that there was to write is in it: False where the storage was too slow for all of it.
    """

    version: Literal[1] = 1
    sha256: str
    size_bytes: int
    counts: dict[str, int]
    head: dict[str, Any]
    complete: bool = True


class ListWriter:
    """Writes a list, as a context manager.

    :param file: open for writing, in binary; stays open.
    :param head: run, cluster and time, as JSON.
    """

    seal: Seal
    """There when the ``with`` block has ended."""
    complete = True
    """To be set to False where not all that was to be written was handed on."""

    def __init__(self, file: BinaryIO, head: Mapping[str, Any]) -> None:
        self._file = file
        self._head = dict(head)
        # zlib takes three times as long for a list that is a fifth larger, and with the dry run's 5,000,000 lines that
        # is a third of the task's CPU time. Digests are random, so window and memory are small: a triggerer may write
        # hundreds of lists at once.
        self._packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _SMALL_WINDOW_GZIP, _LITTLE_MEMORY)
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self._counts = dict.fromkeys(DELETABLE, 0)

    def __enter__(self) -> Self:
        self._pack(json.dumps({"version": 1, **self._head}).encode() + b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError) if error else nullcontext():
            self._write(self._packer.flush())
        self.seal = Seal(
            sha256=self._sha256.hexdigest(),
            size_bytes=self._size_bytes,
            counts={str(kind): count for kind, count in self._counts.items()},
            head=self._head,
            complete=self.complete,
        )

    def add(self, kind: LineKind, subject: str) -> None:
        """Add one line."""
        self._counts[kind] += 1
        self._pack(f"{kind} {subject}\n".encode(errors="replace"))

    def add_blobs(self, digests: Sequence[bytes]) -> None:
        """Add many blobs at once: 64 hexadecimal digits each."""
        if digests:
            self._counts[LineKind.BLOB] += len(digests)
            self._pack(b"blob sha256:" + b"\nblob sha256:".join(digests) + b"\n")

    def _pack(self, data: bytes) -> None:
        self._write(self._packer.compress(data))

    def _write(self, packed: bytes) -> None:
        if packed:
            self._file.write(packed)
            self._sha256.update(packed)
            self._size_bytes += len(packed)


def whole_lines(file: BinaryIO, seal: Seal, name: str) -> Iterator[bytes]:
    """The list's lines, after its head, in blocks that end at a line's end; checked against its seal at the end.

    :param name: for the errors.
    :raises DamagedListError: if it is not what was written. Only who has read it to its end knows that it is whole.
    """
    sha256, size = hashlib.sha256(), 0
    unpacker, rest, head_seen = zlib.decompressobj(_GZIP), b"", False
    try:
        while packed := file.read(_READ_BYTES):
            sha256.update(packed)
            size += len(packed)
            text = rest + unpacker.decompress(packed)
            end = text.rfind(b"\n") + 1
            block, rest = text[:end], text[end:]
            if block and not head_seen:
                block, head_seen = block[block.index(b"\n") + 1 :], True
            if block:
                yield block
    except zlib.error as error:
        raise DamagedListError(f"{name} is damaged: {error}") from error
    if (size, sha256.hexdigest()) != (seal.size_bytes, seal.sha256) or rest or not unpacker.eof:
        raise DamagedListError(
            f"{name} is damaged: it has {size:,} bytes, sha256 {sha256.hexdigest()}; written were "
            f"{seal.size_bytes:,} bytes, sha256 {seal.sha256}"
        )


def subjects(blocks: Iterable[bytes], kind: LineKind) -> Iterator[str]:
    """The subjects of one kind."""
    prefix = f"{kind} ".encode()
    for block in blocks:
        # In most blocks there is none: a look at the whole is a hundred times quicker.
        for line in block.split(b"\n") if prefix in block else ():
            if line.startswith(prefix):
                yield line[len(prefix) :].decode()


def lines(block: bytes) -> Iterator[tuple[LineKind, str]]:
    """What a block lists: kind and subject of each line."""
    for line in block.decode().splitlines():
        kind = next(kind for kind in DELETABLE if line.startswith(f"{kind} "))
        yield kind, line[len(kind) + 1 :]


def packed_digests(blocks: Iterable[bytes], first_digits: str = HEXADECIMAL) -> Iterator[bytes]:
    """The blobs' digests, 32 bytes each, one behind the other, in blocks.

    :param first_digits: only digests that begin with one of these hexadecimal digits.
    """
    blob = re.compile(rb"^blob sha256:([%s].{63})$" % first_digits.encode(), re.MULTILINE)
    for block in blocks:
        yield bytes.fromhex(b"".join(blob.findall(block)).decode())
