"""The list of what a delete deleted: kept as it goes, in one compressed file for each process that followed it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from include.registry_prune.lists.artifacts import artifact_path, candidate_writer
from include.registry_prune.records import Record

if TYPE_CHECKING:
    from include.registry_prune.pruner.dockerregistry import LineKind

log = logging.getLogger(__name__)


class DeletedListPlace(Record):
    """Where the lists of a run's delete go, and what their first line says.

    :param configured: the cluster's setting ``artifacts``.
    """

    configured: str
    dag_id: str
    run_id: str
    task_id: str
    server: str

    def path(self, part: str) -> Any:
        """Of one part; ``*`` stands for all of them."""
        what = f"deleted-{part}"
        return artifact_path(self.configured, dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, what=what)


class DeletedList:
    """One part of the list. It is begun with the first line, and finished by :meth:`close`.

    A part that cannot be written is no reason to end a delete: it is said, and the list is incomplete.

    :param attempt: number of the attempt that is followed.
    """

    def __init__(self, place: DeletedListPlace, *, attempt: int, pod: str) -> None:
        now = datetime.now(UTC)
        # Not overwritten by another process that follows the same attempt, earlier or later or at the same time.
        self._path = place.path(f"{attempt}-{now:%Y%m%dT%H%M%S%f}")
        self._head = {
            "cluster": place.server,
            "run": f"{place.dag_id}/{place.run_id}",
            "pod": pod,
            "attempt": attempt,
            "time": now.isoformat(),
        }
        self._lines: list[tuple[LineKind, str]] = []
        self._opened = ExitStack()
        self._writer: Any = None
        self._whole = True
        self._work: asyncio.Task[None] | None = None

    def add(self, kind: LineKind, subject: str) -> None:
        """Keep one line; it is written by the next :meth:`flush`."""
        self._lines.append((kind, subject))

    async def flush(self) -> bool:
        """Write what was added so far; False if it could not be, or an earlier one could not."""
        lines, self._lines = self._lines, []
        if lines and self._whole:
            await self._in_thread(self._write, lines)
        return self._whole

    async def close(self) -> bool:
        """Write what is left and finish the file; False as :meth:`flush`."""
        await self.flush()
        if self._writer is not None and self._whole:
            await self._in_thread(self._opened.close)
        return self._whole

    async def _in_thread(self, work: Any, *arguments: Any) -> None:
        # A thread cannot be cancelled: what it writes for somebody who was comes to its end before the next begins.
        if self._work is not None:
            await asyncio.wait((self._work,))
        self._work = asyncio.create_task(self._carry_out(work, *arguments))
        await asyncio.shield(self._work)

    async def _carry_out(self, work: Any, *arguments: Any) -> None:
        # asgiref's threads may ask Airflow for the connection of an object storage; others may not.
        try:
            await sync_to_async(work, thread_sensitive=False)(*arguments)
        except Exception as error:  # object storages raise errors of their own libraries
            self._whole = False
            log.warning("The list of what is deleted cannot be written to %s, it is incomplete: %s", self._path, error)

    def _write(self, lines: list[tuple[LineKind, str]]) -> None:
        if self._writer is None:
            self._writer = self._opened.enter_context(candidate_writer(self._path, self._head))
        for kind, subject in lines:
            self._writer.add(kind, subject)
