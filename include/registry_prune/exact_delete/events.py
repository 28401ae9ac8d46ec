"""What the pod says of its work: one JSON object a line on stdout (pure). Written by the pod, read by who follows it.

The record of every key is the list itself, whose order both sides know, and a line for each batch of it that names the
exceptions by their place: a million keys are a thousand short lines, which no rotation of the pod's log cuts off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_seconds, format_size

EXIT_DONE, EXIT_NOT_ALL, EXIT_UNTOUCHED = 0, 1, 2
"""Of the pod's process: all done; some failed, or it was ended early; nothing was touched."""
WORK_FOLDER = "/var/run/registry-prune"
"""In the pod: takes the list."""
SEAL_VARIABLE = "REGISTRY_PRUNE_SEAL"
"""Variable of the pod: the seal of its list, so that no other list can be handed over."""
LINE_CHARACTERS = 12_000
"""A line of a batch with any exceptions stays below this; container runtimes cut lines at 16 KiB."""


class Keeps(StrEnum):
    """What becomes of what is deleted."""

    RENAMED = "renamed"
    """Into a folder beside ``v2``: it can be put back."""
    VERSIONS = "versions"
    """The bucket keeps versions: it can be put back as long as they are there."""
    NOTHING = "nothing"
    """It is gone."""


class Begun(Record):
    """The list is checked, the storage reached; from here on something may be touched.

    :param work: ``delete``, ``undo`` or ``remove``.
    :param storage: for people.
    :param sha256: of the list; empty where there is none.
    :param kept_as: name of the folder of what is kept; empty where the storage keeps by itself, or nothing.
    :param tells_missing: the storage says of a key that it was not there. S3 does not.
    """

    event: Literal["begun"] = "begun"
    version: Literal[1] = 1
    work: str
    storage: str
    sha256: str = ""
    counts: dict[str, int] = Field(default_factory=dict)
    keeps: Keeps = Keeps.NOTHING
    kept_as: str = ""
    tells_missing: bool = True


class Batch(Record):
    """What became of some keys that are next to each other in the list.

    :param first: place of the first one among those of its kind, from 0.
    :param missing: places, from ``first`` on, of those that were not there.
    :param failed: why, and the places of those that failed so. All others are done.
    """

    event: Literal["batch"] = "batch"
    kind: LineKind = LineKind.BLOB
    first: int
    count: int
    missing: tuple[int, ...] = ()
    failed: dict[str, tuple[int, ...]] = Field(default_factory=dict)

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(map(len, self.failed.values()))

    @property
    def done(self) -> int:
        """How many are done."""
        return self.count - len(self.missing) - self.failures


class Note(Record):
    """Something that a person should read."""

    event: Literal["note"] = "note"
    message: str
    warning: bool = False


class Kept(Record):
    """What one delete has kept.

    :param name: of its folder.
    :param since: when the folder was last changed.
    :param bytes: of the blobs' content.
    """

    event: Literal["kept"] = "kept"
    name: str
    since: AwareDatetime
    blobs: int
    bytes: int
    repositories: int = 0

    def text(self) -> str:
        """For people."""
        return (
            f"{self.name}: {format_count(self.blobs, 'blob')} ({format_size(self.bytes)}), since "
            f"{self.since:%Y-%m-%d %H:%M:%S %Z}"
        )


class Tally(Record):
    """Counts of one kind. What is neither done, missing nor failed was not begun, or its end is not known."""

    listed: int = 0
    done: int = 0
    missing: int = 0
    failed: int = 0

    @property
    def open(self) -> int:
        """How many of the list nothing is known of."""
        return self.listed - self.done - self.missing - self.failed

    def text(self, noun: str) -> str:
        """For people."""
        parts = [f"{self.done:,} of {format_count(self.listed, noun)} done"]
        for count, word in ((self.missing, "not there"), (self.failed, "failed"), (self.open, "not begun")):
            parts += [f"{count:,} {word}"] if count else []
        return ", ".join(parts)


class Ended(Record):
    """The last line.

    :param ended_by: ``end`` of the list, ``SIGTERM``, or ``error``.
    :param problem: what ended it, or what failed; empty if all is done.
    :param freed_bytes: of what was removed for good; None where it was not counted.
    :param requests: to an object storage; ``retries``: of these, those that were repeated.
    """

    event: Literal["ended"] = "ended"
    version: Literal[1] = 1
    work: str
    ended_by: Literal["end", "SIGTERM", "error"]
    blobs: Tally = Tally()
    repositories: Tally = Tally()
    problem: str = ""
    freed_bytes: int | None = None
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything is as the list wants it."""
        return self.ended_by == "end" and not any(each.failed or each.open for each in (self.blobs, self.repositories))

    def text(self) -> str:
        """For people."""
        words = f"{self.work} after {format_seconds(self.seconds)}: {self.blobs.text('blob')}"
        if self.repositories.listed:
            words += f"; {self.repositories.text('repository')}"
        return f"{words}. {self.problem}".rstrip(" .") + "."


Event = Begun | Batch | Note | Kept | Ended
_EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def to_line(event: Event) -> str:
    """An event as a line, without its end."""
    return event.model_dump_json()


def parse_line(line: str) -> Event | None:
    """The event that a line of the pod's log is; None if it is something else, such as a library's warning."""
    if not line.startswith('{"event":'):
        return None
    try:
        return _EVENTS.validate_json(line)
    except ValidationError:
        return None


@dataclass
class Account:
    """The counts of a delete, added up from its batches."""

    listed: dict[str, int] = field(default_factory=dict)
    _done: dict[LineKind, list[int]] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        counts = self._done.setdefault(batch.kind, [0, 0, 0])
        for place, count in enumerate((batch.done, len(batch.missing), batch.failures)):
            counts[place] += count

    def tally(self, kind: LineKind) -> Tally:
        """The counts of one kind so far."""
        done, missing, failed = self._done.get(kind, (0, 0, 0))
        return Tally(listed=self.listed.get(kind, 0), done=done, missing=missing, failed=failed)


class Outcome(StrEnum):
    """What became of one key."""

    DONE = "done"
    MISSING = "was not there"
    FAILED = "failed"
    UNKNOWN = "not begun, or its end is not known"


def outcomes(subjects: Iterable[str], batches: Iterable[Batch]) -> Iterator[tuple[str, Outcome, str]]:
    """What became of every key of a list: the key, its outcome, and why it failed.

    :param subjects: of one kind, in the list's order.
    :param batches: of that kind, in any order.
    """
    rest, position = iter(subjects), 0
    for batch in sorted(batches, key=lambda batch: batch.first):
        for subject in islice(rest, max(batch.first - position, 0)):
            yield subject, Outcome.UNKNOWN, ""
        special = _exceptions(batch)
        for place, subject in enumerate(islice(rest, batch.count)):
            outcome, why = special.get(place, (Outcome.DONE, ""))
            yield subject, outcome, why
        position = batch.first + batch.count
    for subject in rest:
        yield subject, Outcome.UNKNOWN, ""


def _exceptions(batch: Batch) -> dict[int, tuple[Outcome, str]]:
    found = dict.fromkeys(batch.missing, (Outcome.MISSING, ""))
    return found | {place: (Outcome.FAILED, why) for why, places in batch.failed.items() for place in places}


def fitting(batch: Batch) -> Iterator[Batch]:
    """The batch in lines that container runtimes do not cut: halved until each is short enough."""
    if len(to_line(batch)) <= LINE_CHARACTERS or batch.count == 1:
        yield batch
        return
    half = batch.count // 2
    for low, high in ((0, half), (half, batch.count)):
        failed = {
            why: tuple(place - low for place in places if low <= place < high) for why, places in batch.failed.items()
        }
        part = Batch(
            kind=batch.kind,
            first=batch.first + low,
            count=high - low,
            missing=tuple(place - low for place in batch.missing if low <= place < high),
            failed={why: places for why, places in failed.items() if places},
        )
        yield from fitting(part)
