"""The record of a delete by a list: what became of each key, in all attempts (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from include.registry_prune.exact_delete.events import Account, Batch, Begun, Ended, Event, Outcome, Tally, outcomes
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.records import Record


class AttemptRecord(Record):
    """What the pod of one attempt said.

    :param ended: its last word; None if nobody heard it.
    """

    begun: Begun | None = None
    batches: tuple[Batch, ...] = ()
    ended: Ended | None = None


class DeleteRecord(Record):
    """All attempts of one window, in their order. They all work on the same list.

    :param window: its token.
    """

    version: Literal[1] = 1
    window: str = ""
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def begun(self) -> Begun | None:
        """What the first attempt that got so far said at its beginning."""
        return next((attempt.begun for attempt in self.attempts if attempt.begun), None)

    @property
    def ended(self) -> Ended | None:
        """The last word of the last attempt."""
        return self.attempts[-1].ended if self.attempts else None

    def tally(self, kind: LineKind) -> Tally:
        """The counts of one kind over all attempts, as far as they are known.

        What a later attempt does not find any more, an earlier one has taken: it counts as done.
        """
        best = Tally()
        for number, attempt in enumerate(self.attempts):
            account = Account(attempt.begun.counts if attempt.begun else {})
            for batch in attempt.batches:
                account.add(batch)
            found = account.tally(kind)
            if number:
                found = found.model_copy(update={"done": found.done + found.missing, "missing": 0})
            best = max(best, found, key=lambda tally: tally.done)
        return best

    def outcomes(self, kind: LineKind, subjects: Callable[[], Iterable[str]]) -> Iterator[tuple[str, Outcome]]:
        """What became of every key of one kind.

        :param subjects: reads these keys from the list, from its beginning, in its order.
        """
        told = [
            outcomes(subjects(), [batch for batch in attempt.batches if batch.kind is kind])
            for attempt in self.attempts
        ]
        for each in zip(*told, strict=True):
            yield each[0][0], _of_all([outcome for _, outcome, _ in each])


def _of_all(found: list[Outcome]) -> Outcome:
    """What became of a key, by what each attempt says of it."""
    if Outcome.DONE in found or Outcome.MISSING in found[1:]:
        return Outcome.DONE
    return next((outcome for outcome in reversed(found) if outcome is not Outcome.UNKNOWN), Outcome.UNKNOWN)


class Listener:
    """Takes what the pod of one attempt says, for its record."""

    def __init__(self) -> None:
        self.begun: Begun | None = None
        self._batches: list[Batch] = []
        self._ended: Ended | None = None
        self.blobs = 0
        """So many have an outcome by now."""

    def take(self, event: Event) -> None:
        """One event, in its order."""
        if isinstance(event, Begun):
            self.begun = event
        elif isinstance(event, Batch):
            self._batches.append(event)
            self.blobs += event.count if event.kind is LineKind.BLOB else 0
        elif isinstance(event, Ended):
            self._ended = event

    def record(self) -> AttemptRecord:
        """What was heard so far."""
        return AttemptRecord(begun=self.begun, batches=tuple(self._batches), ended=self._ended)
