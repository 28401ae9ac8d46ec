"""Follows a delete that lives on its own in a pod: how far it is, its end, and whether its window stays whole.

The same for the task's first seconds and for the trigger that goes on: it holds nothing that cannot be begun anew, and
nothing that happens to it happens to the delete. A delete by the list is followed in ``exact_pod/pod.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect, end_tasks
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.attempt_end import AttemptEnd
from include.registry_prune.deletion.detached_delete import look_command
from include.registry_prune.deletion.detached_log import DeleteLog, DeleteState
from include.registry_prune.deletion.handover import Delete, DeleteEnd, FollowSettings
from include.registry_prune.deletion.image_watch import ImageWatch, evidence
from include.registry_prune.deletion.tripwire import Trip, Tripped, Tripwire
from include.registry_prune.deletion.window_watch import WindowWatch
from include.registry_prune.pruner.dockerregistry import DELETABLE, LineKind, PrunerResult
from include.registry_prune.pruner.output import Line
from include.registry_prune.pruner.progress import Progress, show
from include.registry_prune.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.registry_prune.pruner.progress import DeleteProgress

log = logging.getLogger(__name__)

QUICK_SECONDS = 30.0
QUICK_PAUSE_SECONDS, LOOK_PAUSE_SECONDS = 0.1, 0.5
"""A delete that has just begun may end at any moment, and the registry is read-only: its end is looked for often."""
LOOK_MARGIN_SECONDS = 20.0
"""A look may take this much longer than it was asked to."""
ENDED_PATIENCE_SECONDS = 30.0
"""How long a delete that had to be ended is followed; then its task fails, and whoever closes the window ends it."""
_ENDING_SECONDS = 2.0
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.2, 10.0


class DeletedSink(Protocol):
    """Keeps the list of what was deleted; one file for each who follows."""

    def add(self, kind: LineKind, subject: str) -> object:
        """Keep one line."""

    def flush(self) -> bool:
        """Have written what was added so far, without waiting; False if something could not be written up to now."""

    async def close(self) -> bool:
        """Finish the file, within seconds; False as :meth:`flush`. It may be called again."""


class PodGoneError(Exception):
    """The pod of an attempt is not there any more, and its processes with it; the message says why."""


class DeleteFollower:
    """Follows one attempt.

    :param connect: makes a connection to the cluster; called again after trouble, so that renewed credentials count.
    :param deleted: gets what was deleted.
    :param tell: gets how far the delete is, every few seconds. It must not wait.
    """

    def __init__(
        self,
        connect: Connect,
        delete: Delete,
        settings: FollowSettings,
        deleted: DeletedSink,
        tell: Callable[[DeleteProgress], object] = lambda progress: None,
    ) -> None:
        self._connect = connect
        self._delete = delete
        self._attempt = delete.attempt
        self._settings = settings
        self._deleted = deleted
        self._log = DeleteLog(delete.position, self._take_line)
        self._kinds = dict.fromkeys(LineKind, 0)
        self._last_blob = delete.last_blob
        self._earlier = delete.earlier
        self._written = True
        self._trouble_since: float | None = None
        self._end = AttemptEnd(connect, delete.attempt)
        self._tripwire = Tripwire()
        self._images = ImageWatch(connect, self._tripwire, on_trip=self._on_trip, end=self._end)
        self._evidence: asyncio.Task[Tripped] | None = None
        self._ended_since: float | None = None
        self._window = WindowWatch(connect, delete.holder, lease_seconds=settings.lease, end=self._end)
        age = (datetime.now(UTC) - self._attempt.begun_at).total_seconds()
        self._started = time.monotonic() - age
        self._progress = Progress(
            "delete",
            delete.expected_blobs,
            done_before=delete.earlier.blobs,
            counted=delete.position.blobs,
            running_for=age,
            ends_by=delete.ends_by,
            estimated_seconds=delete.estimated_seconds,
            silence_seconds=settings.silence,
            tell=tell,
        )

    async def follow(self, seconds: float | None = None) -> DeleteEnd | None:
        """Follow the attempt to its end.

        :param seconds: for at most this long.
        :return: None if it goes on after that time: :meth:`handed_on` says where to go on from.
        """
        works = (self._window.watch(), self._images.watch(), self._end.carry_out())
        beside: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in works]
        try:
            end = await self._follow(None if seconds is None else time.monotonic() + seconds)
            self._written = await self._deleted.close() and self._written
            if end is not None and end[1]:
                await self._window.look_now()
            return None if end is None else self._conclude(*end, await self._evidence if self._evidence else None)
        finally:
            if self._evidence is not None:
                beside.append(self._evidence)
            for task in beside:
                task.cancel()
            # Also for who is cancelled: a compressed file that is not finished cannot be read, and may hold hours.
            await asyncio.shield(self._deleted.close())
            await end_tasks(*beside)

    def handed_on(self) -> Delete:
        """The delete as it is now, for another process to follow."""
        return self._delete.model_copy(
            update={
                "position": self._log.position(),
                "earlier": self._earlier,
                "last_blob": self._last_blob,
                "list_complete": self._delete.list_complete and self._written and not self._log.lost,
            }
        )

    async def _follow(self, until: float | None) -> tuple[str, bool] | None:
        """How the attempt ended, in words, and whether it was interrupted; None if the time is over before."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            if not self._may_look(until):
                return self._why_no_more()
            try:
                async with self._connect() as cluster:
                    while not self._log.over and self._may_look(until):
                        await self._look_on(cluster, until)
                        self._trouble_since, backoff = None, FIRST_BACKOFF_SECONDS
            except PodGoneError as error:
                return str(error), True
            except ClusterError as error:
                lost_for = self._nothing_known_for()
                if lost_for > self._settings.patience:
                    return f"the cluster has told nothing of it for {format_seconds(lost_for)}: {error}", False
                log.warning("The delete goes on in its pod; trying to follow it again: %s", error)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            if self._log.over:
                return self._how_it_ended()

    def _nothing_known_for(self) -> float:
        """Seconds since the first trouble after something came; not since the connection was made, hours ago."""
        now = time.monotonic()
        self._trouble_since = self._trouble_since or now
        return now - self._trouble_since

    def _may_look(self, until: float | None) -> bool:
        now = time.monotonic()
        if self._end.why is not None:
            # Whoever has it ended sees to its end: handed on, it would look like one that was interrupted.
            self._ended_since = self._ended_since or now
            return now - self._ended_since <= ENDED_PATIENCE_SECONDS
        if datetime.now(UTC) >= self._delete.ends_by:
            done = self._attempt.earlier.blobs + self._log.blobs
            self._end.ask(f"the window's time is over, after {format_count(done, 'blob')}", as_planned=True)
            return True
        return until is None or now < until

    def _why_no_more(self) -> tuple[str, bool] | None:
        """How the attempt ended, where it may not be looked at any more; None if only this follower's time is over."""
        if self._end.why is not None:
            return f"no end is known {format_seconds(ENDED_PATIENCE_SECONDS)} after it was to be ended", False
        self._progress.say(self._log.blobs)
        return None

    async def _look_on(self, cluster: AsyncCluster, until: float | None) -> None:
        """One look, from where the last ended.

        Where the node of its pod does not answer, the delete is to be ended, and its end stays unknown.

        :raises ClusterError: if nothing is known after it.
        :raises PodGoneError: if the pod is not there any more.
        """
        now = time.monotonic()
        left = (self._delete.ends_by - datetime.now(UTC)).total_seconds()
        # Once it is being ended, its end is near.
        seconds = min(self._settings.follow_every, left if self._end.why is None else _ENDING_SECONDS)
        if until is not None:
            seconds = min(seconds, until - now)
        seconds = max(seconds, 0.1)
        pause = QUICK_PAUSE_SECONDS if now - self._started < QUICK_SECONDS else LOOK_PAUSE_SECONDS
        position = self._log.position()
        command = look_command(
            self._attempt.name, segment=position.segment, offset=position.offset, seconds=seconds, pause=pause
        )
        try:
            end = await cluster.exec(
                self._attempt.pod, command, self._take_look, limit_seconds=seconds + LOOK_MARGIN_SECONDS
            )
        except ClusterError:
            await self._require_pod(cluster)
            raise
        finally:
            self._written = self._deleted.flush() and self._written
        if not self._log.over and end.exit_status != 0:
            await self._require_pod(cluster)
            raise ClusterError(f"a look at the delete in pod {self._attempt.pod} ended early: {end.how}")

    async def _require_pod(self, cluster: AsyncCluster) -> None:
        pod = next((pod for pod in await cluster.pods() if pod.uid == self._attempt.pod_uid), None)
        if pod is None:
            raise PodGoneError(f"pod {self._attempt.pod} is gone: deleted or evicted")
        if pod.ended:
            raise PodGoneError(f"pod {self._attempt.pod} has ended: evicted, or its node shut down")
        if pod.silent():
            # The patience is for an API server that says nothing; this one says that nothing will be heard.
            self._end.ask(
                f"the node of pod {self._attempt.pod} does not answer, so that nobody knows whether the delete goes on "
                "in it: look at `oc get nodes`, and bring the node back or make sure that it is off"
            )

    def _take_look(self, stream: Stream, line: str) -> None:
        if stream is Stream.STDOUT:
            self._trouble_since = None
        self._log.feed(stream, line)
        self._progress.blobs(self._log.blobs)
        self._progress.tick()

    def _take_line(self, line: Line) -> None:
        if line.kind in DELETABLE:
            self._deleted.add(line.kind, line.subject)
            if line.kind is LineKind.BLOB:
                trip = self._tripwire.blob(line.subject)
                if trip is not None:
                    self._on_trip(trip)
                self._last_blob = line.subject
                if line.subject == self._earlier.last_blob:
                    blobs = self._earlier.blobs - 1
                    self._earlier = self._earlier.model_copy(update={"blobs": blobs, "last_blob": None})
        else:
            self._kinds[line.kind] += 1
            show(self._attempt.pod, line, self._kinds[line.kind])

    def _on_trip(self, trip: Trip) -> None:
        if self._evidence is None:
            self._end.ask(trip.text())
            self._evidence = asyncio.create_task(evidence(self._connect, trip))

    def _how_it_ended(self) -> tuple[str, bool]:
        if self._log.state is DeleteState.ENDED:
            return f"exit status {self._log.exit_status}", self._log.interrupted
        if self._log.state is DeleteState.ABSENT:
            return f"pod {self._attempt.pod} does not know of it", True
        return f"its processes in pod {self._attempt.pod} are gone: its container was restarted", True

    def _conclude(self, how: str, interrupted: bool, tripped: Tripped | None) -> DeleteEnd:
        # Of processes that were killed with all that read them, the last lines are lost.
        whole = self._log.state is DeleteState.ENDED
        delete = self.handed_on()
        delete = delete.model_copy(update={"list_complete": delete.list_complete and whole})
        result = self._log.result(ended_how=how, seconds=time.monotonic() - self._started, pod=self._attempt.pod)
        result = result.model_copy(
            update={
                "list_complete": delete.so_far().list_complete,
                "attempts": self._attempt.number,
                "earlier_blobs": self._deleted_earlier(result),
            }
        )
        self._progress.say(result.counted_blobs + result.earlier_blobs - self._delete.earlier.blobs)
        log.info("dockerregistry -prune=delete in pod %s: %s; %s", self._attempt.pod, how, result.text())
        # A pruner that was done at that very moment has done all of it.
        sliced = self._end.as_planned and not result.complete and (interrupted or self._log.interrupted)
        lost = None if self._end.as_planned else self._end.why
        return DeleteEnd(
            delete=delete,
            result=result.model_copy(update={"sliced": sliced}),
            interrupted=interrupted and self._end.why is None,
            lost=lost,
            tripped=tripped,
        )

    def _deleted_earlier(self, result: PrunerResult) -> int:
        """What earlier attempts deleted: counted in their logs, or, where the end of one went with its pod, what the
        dry run had listed and this attempt, which has been through everything, did not find any more."""
        if result.complete and result.said and self._delete.expected_blobs and not self._earlier.list_complete:
            return max(self._earlier.blobs, self._delete.expected_blobs - result.said.blobs)
        return self._earlier.blobs
