"""Batches of a list, several at once, until the list ends, the storage refuses, or the process is told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Literal

from include.registry_prune.exact_delete.events import Account, Batch, Ended, Event, Note, fitting
from include.registry_prune.exact_delete.listed import Keys
from include.registry_prune.exact_delete.storage import Result, Storage, StorageError
from include.registry_prune.pruner.dockerregistry import LineKind

MOST_FAILED = 1_000
"""After so many keys that failed the work ends: what refuses so many refuses the rest too."""
Say = Callable[[Event], None]
Step = Callable[[Sequence[str]], Result]


class Work:
    """One delete, undo or removal.

    :param name: ``delete``, ``undo`` or ``remove``.
    :param listed: lines of each kind.
    :param say: takes each event.
    :param stopping: set when the process is told to end: no further batch is begun then.
    """

    def __init__(
        self, name: str, storage: Storage, *, listed: dict[str, int], say: Say, stopping: threading.Event
    ) -> None:
        self._name = name
        self._storage = storage
        self._say = say
        self._stopping = stopping
        self._started = time.monotonic()
        self._account = Account(listed)
        self._freed = 0
        self._failed = 0
        self._problem = ""

    def run(self, parts: Iterable[tuple[Iterator[Keys], Step]]) -> Ended:
        """Do all parts, one after the other, and say how it ended."""
        ended_by: Literal["end", "SIGTERM", "error"] = "end"
        with ThreadPoolExecutor(self._storage.at_once, thread_name_prefix="batch") as threads:
            for batches, step in parts:
                try:
                    self._run_part(threads, batches, step)
                except Exception as error:  # whatever was not expected ends it, with what was done so far told
                    self._problem, ended_by = str(error) or repr(error), "error"
                    break
                if self._stopping.is_set():
                    self._problem, ended_by = "It was told to end, between two batches.", "SIGTERM"
                    break
        requests, retries = self._storage.requests()
        ended = Ended(
            work=self._name,
            ended_by=ended_by,
            blobs=self._account.tally(LineKind.BLOB),
            repositories=self._account.tally(LineKind.REPOSITORY),
            problem=self._problem or (f"{self._failed:,} failed: see the notes." if self._failed else ""),
            freed_bytes=self._freed,
            requests=requests,
            retries=retries,
            seconds=round(time.monotonic() - self._started, 3),
        )
        self._say(ended)
        return ended

    def _run_part(self, threads: ThreadPoolExecutor, batches: Iterator[Keys], step: Step) -> None:
        """One step for every batch; those at work are waited for and told of, whatever happens to another."""
        at_work: dict[Future[Result], Keys] = {}
        problem: Exception | None = None
        more = True
        while more or at_work:
            more = more and problem is None and not self._stopping.is_set()
            while more and len(at_work) < self._storage.at_once:
                try:
                    keys = next(batches, None)
                except OSError as error:
                    problem, keys = error, None
                if keys is None:
                    more = False
                else:
                    at_work[threads.submit(step, keys.subjects)] = keys
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                try:
                    self._take(at_work.pop(future), future.result())
                except Exception as error:
                    problem = problem or error
        if problem is not None:
            raise problem

    def _take(self, keys: Keys, result: Result) -> None:
        batch = Batch(
            kind=keys.kind,
            first=keys.first,
            count=len(keys.subjects) if result.reached is None else result.reached,
            missing=tuple(result.missing),
            failed={why: tuple(places) for why, places in result.failed.items()},
        )
        for line in fitting(batch) if batch.count else ():
            self._say(line)
        for why, places in batch.failed.items():
            self._say(Note(message=f"{keys.kind} {keys.subjects[places[0]]}: {why}{_others(places)}", warning=True))
        self._account.add(batch)
        self._freed += result.freed_bytes
        self._failed += batch.failures
        if result.problem is not None:
            raise result.problem
        if self._failed > MOST_FAILED:
            raise StorageError(f"{self._failed:,} failed, the last ones so: {next(iter(batch.failed), '')}")


def _others(places: Sequence[int]) -> str:
    return f" (and {len(places) - 1:,} more of this batch)" if len(places) > 1 else ""
