"""The list of what a delete deleted: kept as it goes, in one compressed file for each process that followed it."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from include.registry_prune.lists.artifacts import artifact_path, list_writer
from include.registry_prune.lists.list_thread import ListThread
from include.registry_prune.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import ObjectStoragePath

    from include.registry_prune.pruner.dockerregistry import LineKind

log = logging.getLogger(__name__)

WAITING_LINES = 250_000
"""At most this many wait in memory, some 45 MiB: more than the log of an attempt can hold, which a follower may read at
once, and a minute of the quickest delete."""
CLOSE_SECONDS = 5.0
"""For the storage to finish a list: the registry is read-only meanwhile."""


class DeletedListPlace(Record):
    """Where the lists of a run's delete go, and what their first line says.

    :param configured: the cluster's setting ``artifacts``.
    """

    configured: str
    dag_id: str
    run_id: str
    task_id: str
    server: str

    def path(self, part: str) -> ObjectStoragePath:
        """Of one part; ``*`` stands for all of them."""
        what = f"deleted-{part}"
        return artifact_path(self.configured, dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, what=what)


class DeletedList:
    """One part of the list. It is begun with the first line, by who has a running loop, and finished by :meth:`close`.

    A part that cannot be written is no reason to end a delete, nor to hold it up: the log says so, and the list is
    incomplete.

    :param attempt: number of the attempt that is followed.
    """

    def __init__(self, place: DeletedListPlace, *, attempt: int, pod: str) -> None:
        now = datetime.now(UTC)
        # Not overwritten by another process that follows the same attempt, earlier or later or at the same time.
        self._path = place.path(f"{attempt}-{now:%Y%m%dT%H%M%S%f}")
        head = {
            "cluster": place.server,
            "run": f"{place.dag_id}/{place.run_id}",
            "pod": pod,
            "attempt": attempt,
            "time": now.isoformat(),
        }
        self._list = ListThread(
            lambda: list_writer(self._path, head), self._path, patience_seconds=0.0, waiting_lines=WAITING_LINES
        )
        self._whole = True
        self._closed = False
        self._work: asyncio.Task[None] | None = None

    def add(self, kind: LineKind, subject: str) -> None:
        """Keep one line. It never waits: where the storage is too slow, or fails, lines are left out."""
        if self._work is None:
            # Of asgiref's: such threads may ask Airflow for the connection of an object storage; others may not.
            threads: Any = DaemonThreads()
            write = sync_to_async(self._list.write_all, thread_sensitive=False, executor=threads)
            self._work = asyncio.create_task(write())
        self._try(lambda: self._list.add(kind, subject))

    def flush(self) -> bool:
        """Hand on what was added so far; False if something could not be written up to now."""
        self._try(self._list.hand_on)
        return self._whole

    async def close(self) -> bool:
        """Finish the file, and wait for a few seconds until it is; False as :meth:`flush`."""
        if self._work is None or self._closed:
            return self._whole
        self._closed = True
        self._try(self._list.hand_on)
        self._list.close()
        await asyncio.wait((self._work,), timeout=CLOSE_SECONDS)
        if self._work.done():
            self._try(self._list.hand_on)
        else:
            self._incomplete(f"its storage has not answered for {CLOSE_SECONDS:.0f} s")
        return self._whole

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # object storages raise errors of their own libraries
            self._incomplete(str(error) or repr(error))

    def _incomplete(self, why: str) -> None:
        if self._whole:
            log.warning("The list of what is deleted cannot be written to %s, so it is incomplete: %s", self._path, why)
        self._whole = False


class DaemonThreads(Executor):
    """A thread for each work; one that hangs holds up neither the end of its loop nor that of its process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin."""
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # it is raised to whoever waits
                future.set_exception(error)

        threading.Thread(target=work, name="deleted list", daemon=True).start()
        return future
