"""The list that a delete works by: checked as a whole before anything is touched, then read in batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from include.registry_prune.exact_delete.keys import is_digest, is_repository
from include.registry_prune.lists import candidate_list
from include.registry_prune.lists.candidate_list import DamagedListError, Seal, whole_lines
from include.registry_prune.pruner.dockerregistry import DELETABLE, LineKind

_SHOWN_CHARACTERS = 200
_BLOB_LINES = re.compile(rb"^blob sha256:[0-9a-f]{64}\n", re.MULTILINE)
"""Nearly all lines are such: a look at a whole block takes a third of the time."""
_ACCEPTED: dict[LineKind, Callable[[str], bool]] = {
    LineKind.BLOB: is_digest,
    LineKind.REPOSITORY: is_repository,
    # A manifest link stays: its line can name the wrong repository, and it frees nothing.
    LineKind.MANIFEST_LINK: lambda subject: True,
}


class Keys(NamedTuple):
    """Some lines of one kind that are next to each other.

    :param first: place of the first one among those of its kind, from 0.
    """

    kind: LineKind
    first: int
    subjects: list[str]


def batches(kind: LineKind, subjects: Iterator[str], size: int) -> Iterator[Keys]:
    """Subjects in batches, in their order.

    :param size: so many at most in a batch.
    """
    first = 0
    while batch := list(islice(subjects, size)):
        yield Keys(kind, first, batch)
        first += len(batch)


class CheckedList:
    """A list that is whole, is the one that was meant, and has nothing in it but what may be deleted.

    :param path: the file.
    :param seal: what was written and judged.
    :raises DamagedListError: if it is another list, damaged, or has a line that stands for no blob and no repository.
    """

    def __init__(self, path: Path, seal: Seal) -> None:
        self.seal = seal
        self._path = path
        counts = dict.fromkeys(map(str, DELETABLE), 0)
        for block in self._blocks():
            rest, blobs = _BLOB_LINES.subn(b"", block)
            counts[LineKind.BLOB] += blobs
            for line in rest.decode(errors="replace").splitlines():
                counts[_accepted(line)] += 1
        if counts != seal.counts:
            raise DamagedListError(f"The list has other counts than were written: {counts}, and not {seal.counts}")
        if not seal.complete:
            raise DamagedListError("The list is not complete: its storage was too slow for all of it")

    def batches(self, kind: LineKind, size: int) -> Iterator[Keys]:
        """The lines of one kind, in their order.

        :param size: so many at most in a batch.
        """
        return batches(kind, candidate_list.subjects(self._blocks(), kind), size)

    def _blocks(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from whole_lines(file, self.seal, "The list")


def _accepted(line: str) -> LineKind:
    for kind, accepts in _ACCEPTED.items():
        if line.startswith(f"{kind} ") and accepts(line[len(kind) + 1 :]):
            return kind
    raise DamagedListError(
        f"The list has a line that stands for no blob and no repository: {line[:_SHOWN_CHARACTERS]!r}. Nothing was "
        "touched."
    )
