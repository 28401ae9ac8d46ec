"""What the work asks of a storage (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from include.registry_prune.exact_delete.events import Keeps, Kept
from include.registry_prune.pruner.dockerregistry import LineKind


class StorageError(Exception):
    """The storage does not let the work go on; the message says why and what to do."""


class NothingThereError(StorageError):
    """There is no registry in the storage: nothing was touched."""


@dataclass
class Result:
    """What became of the keys of one batch: of all others, they are done.

    :param missing: places of those that were not there.
    :param failed: why, and the places of those that failed so.
    :param freed_bytes: of what was removed for good.
    :param problem: what ended the batch early, and ends the work; None if nothing did.
    :param reached: with a problem: so many keys have an outcome; None: all of them.
    """

    missing: list[int] = field(default_factory=list)
    failed: dict[str, list[int]] = field(default_factory=dict)
    freed_bytes: int = 0
    problem: StorageError | None = None
    reached: int | None = None

    def fail(self, place: int, why: str) -> None:
        """Note a key that failed."""
        self.failed.setdefault(why, []).append(place)


Stopped = Callable[[], bool]
"""Whether the work was asked to end."""


class Storage(Protocol):
    """A registry's storage, of whatever kind. Its methods may be called by several threads at once."""

    batch_size: int
    """Keys in a batch."""
    at_once: int
    """Batches at work at the same time."""
    tells_missing: bool
    """Whether it says of a key that it was not there."""

    def text(self) -> str:
        """Where it is, for people."""

    def prepare(self) -> Keeps:
        """Reach it, see that a registry is there, and get everything ready; returns what becomes of what is deleted.

        :raises StorageError: if it cannot be done; nothing was touched.
        """

    def delete_blobs(self, digests: Sequence[str]) -> Result:
        """Delete blobs. What no further key can get around is the result's problem."""

    def delete_repositories(self, names: Sequence[str]) -> Result:
        """Delete what makes these repositories, and nothing below them that is another one."""

    def put_back_blobs(self, digests: Sequence[str]) -> Result:
        """Put back what is kept, after a look at its digest where the storage does not keep it by itself. One that is
        not kept, or is there already, counts as missing."""

    def put_back_repositories(self, names: Sequence[str]) -> Result:
        """Put back what is kept of these repositories; as for blobs."""

    def kept_subjects(self, kind: LineKind) -> Iterator[str]:
        """What is kept, of one kind, as far as the storage can tell it without a list.

        :raises StorageError: if it cannot.
        """

    def remove_kept_blobs(self, digests: Sequence[str]) -> Result:
        """Remove what is kept of these blobs for good."""

    def remove_kept_repositories(self, names: Sequence[str]) -> Result:
        """Remove what is kept of these repositories for good."""

    def kept(self) -> Iterator[Kept]:
        """What all deletes have kept.

        :raises StorageError: if the storage cannot tell it.
        """

    def sweep_kept(self) -> None:
        """Take away the empty folders that a removal leaves."""

    def requests(self) -> tuple[int, int]:
        """How many requests it took so far, and how many of these were repeated."""
