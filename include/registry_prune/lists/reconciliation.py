"""What a delete did, held against what its dry run had listed (pure). It is about blobs: links free nothing.

Done outside the read-only time, in bounded memory: only digests that begin with some of the hexadecimal digits are held
at once; for the others the lists are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from math import ceil
from typing import Literal, NamedTuple

from include.registry_prune.lists.digests import DIGEST_BYTES, HEXADECIMAL, DigestSet
from include.registry_prune.records import Record
from include.registry_prune.units import format_count

KEPT_NAMES = 10
"""At most this many digests of each kind are named; all are counted."""
DIGESTS_AT_ONCE = 300_000
"""Of either list; in a set each takes about 150 bytes."""

DigestReader = Callable[[str], Iterable[bytes]]
"""Reads a list from its beginning: those digests that begin with one of these hexadecimal digits, in blocks; 32 bytes
each, one behind the other."""


class Basis(StrEnum):
    """How it is known what was deleted."""

    LIST = "the delete's own list"
    RECORD = "the record of the delete by the list"
    CLOSING_CHECK = "a dry run afterwards"
    NOTHING = "nothing"


class Reconciliation(Record):
    """The candidates of a dry run, and what became of them.

    :param candidates: blobs that the dry run had listed.
    :param deleted: of these, as the delete's log has it. By a dry run afterwards: those that it does not list any more,
        so that they are gone, or needed again.
    :param not_deleted: of these, the others.
    :param unlisted: blobs that were deleted although the dry run had not listed them.
    :param not_deleted_names: the first few; likewise ``unlisted_names``.
    :param unlisted_in_use: of the unlisted, some that an Image names now, each in words; ``unlisted_in_use_count``: of
        all. None: it is not known, or there are no unlisted ones.
    :param deleted_in_use: of a delete by the list, which deletes nothing else: as ``unlisted_in_use``, of what it took
        and does not keep; ``deleted_in_use_count``: of all. None: not known, or all is kept.
    :param put_back: blobs that Images named by then, and that were put back.
    :param list_complete: the delete's list has all that was deleted; otherwise ``unlisted`` is a lower bound.
    :param stopped: the delete did not come to its end. The last blob that its list names may be there still: the pruner
        says that it deletes one before it does.
    :param deleted_artifact: the delete's list, ``*`` stands for its parts; ``left_artifact``: that of a dry run
        afterwards.
    :param why_unknown: why it could not be done; the figures mean nothing then.
    """

    version: Literal[1] = 1
    basis: Basis
    candidates: int = 0
    deleted: int = 0
    not_deleted: int = 0
    unlisted: int = 0
    not_deleted_names: tuple[str, ...] = ()
    unlisted_names: tuple[str, ...] = ()
    unlisted_in_use: tuple[str, ...] = ()
    unlisted_in_use_count: int | None = None
    deleted_in_use: tuple[str, ...] = ()
    deleted_in_use_count: int | None = None
    put_back: int = 0
    list_complete: bool = True
    stopped: bool = False
    deleted_artifact: str | None = None
    left_artifact: str | None = None
    why_unknown: str = ""

    def text(self) -> str:
        """What became of the candidates, in one line."""
        if self.why_unknown:
            return f"not known which candidates were deleted: {self.why_unknown}"
        words = f"{self.deleted:,} of {format_count(self.candidates, 'candidate')} deleted, {self.not_deleted:,} not"
        if self.not_deleted:
            words += f" ({_some(self.not_deleted_names, self.not_deleted)})"
        if self.stopped and self.basis is Basis.LIST:
            words += "; the delete stopped, and the last one that it named may still be there"
        if self.put_back:
            words += f"; {format_count(self.put_back, 'blob')} put back, as Images name them by now"
        return f"{words} (by {self.basis})"

    def lines(self) -> list[tuple[str, str]]:
        """For the report, label and text: what became of the candidates, what to look into, and where the lists are."""
        alarm = self.alarm()
        lines = [("reconciled", self.text()), *([("LOOK INTO THIS", alarm)] if alarm else [])]
        lists = {"what was deleted": self.deleted_artifact, "what is left": self.left_artifact}
        return lines + [(f"list of {what}", place) for what, place in lists.items() if place]

    def alarm(self) -> str | None:
        """What a person should look into; None if nothing."""
        if self.deleted_in_use_count:
            return (
                f"BLOBS THAT IMAGES NAME WERE DELETED: {self.deleted_in_use_count:,}, by an Image that came while the "
                f"delete worked: {'; '.join(self.deleted_in_use)}. The storage keeps nothing: push or import those "
                "images again"
            )
        if not self.unlisted:
            return None
        unlisted = (
            f"{format_count(self.unlisted, 'blob')} deleted that the dry run had not listed: "
            f"{_some(self.unlisted_names, self.unlisted)}"
        )
        if self.unlisted_in_use_count:
            more = self.unlisted_in_use_count - len(self.unlisted_in_use)
            return (
                f"BLOBS THAT IMAGES NAME WERE DELETED. {unlisted}; of these Images name "
                f"{self.unlisted_in_use_count:,}: {'; '.join(self.unlisted_in_use)}"
                + (f"; and {more:,} more" if more > 0 else "")
                + ". Push or import those images again. Pause this DAG until you know why the pruner took them for "
                "orphans"
            )
        known = "" if self.unlisted_in_use_count is None else " No Image that was there before the window names one."
        return (
            f"{unlisted}.{known} That is right if somebody deleted images between dry run and delete, or broke off a "
            "push while the survey stood for the dry run. If nobody did, look at integrity_after, and pause this DAG "
            "until you know why"
        )

    @property
    def lost_images(self) -> bool:
        """Whether a blob was deleted that an Image names."""
        return bool(self.unlisted_in_use_count or self.deleted_in_use_count)


def _some(names: tuple[str, ...], count: int) -> str:
    return ", ".join(names) + (" …" if count > len(names) else "")


@dataclass(frozen=True)
class Share:
    """Some of the digests of two lists.

    :param names: the smallest few.
    """

    count: int
    names: tuple[str, ...]


class Comparison(NamedTuple):
    """Two lists of digests: what is in both, in the first alone, in the second alone."""

    both: Share
    first_only: Share
    second_only: Share


def compare(
    first: DigestReader,
    second: DigestReader,
    *,
    size: int,
    at_once: int = DIGESTS_AT_ONCE,
    second_only: DigestSet | None = None,
) -> Comparison:
    """Compare two lists; what is in one of them more than once counts once.

    :param size: digests in the longer list, about.
    :param at_once: about this many of either are held in memory; up to sixteen times as many are in a list.
    :param second_only: gets what is in the second alone.
    """
    passes = min(max(ceil(size / at_once), 1), len(HEXADECIMAL))
    counts, names = [0, 0, 0], [[], [], []]  # type: tuple[list[int], list[list[bytes]]]
    for number in range(passes):
        digits = HEXADECIMAL[number::passes]
        firsts, seconds = set(_digests(first(digits))), set(_digests(second(digits)))
        for place, (ones, others, shared) in enumerate(
            [(firsts, seconds, True), (firsts, seconds, False), (seconds, firsts, False)]
        ):
            counts[place] += sum((digest in others) is shared for digest in ones)
            found = (digest for digest in ones if (digest in others) is shared)
            names[place] = nsmallest(KEPT_NAMES, [*names[place], *nsmallest(KEPT_NAMES, found)])
        if second_only is not None:
            second_only.add_packed(b"".join(seconds - firsts))
    shares = (
        Share(count, tuple(f"sha256:{digest.hex()}" for digest in kept))
        for count, kept in zip(counts, names, strict=True)
    )
    return Comparison(*shares)


def _digests(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for place in range(0, len(block), DIGEST_BYTES):
            yield block[place : place + DIGEST_BYTES]
