"""The delete by the list, from outside: its pod is made or found, given the list, and followed to its end, while the
window and the Images are watched beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect, end_tasks
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import RegistryState, unsettled
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.deletion.ending import DeleteEnding
from include.registry_prune.deletion.image_watch import ImageWatch, evidence
from include.registry_prune.deletion.tripwire import Trip, Tripped, Tripwire
from include.registry_prune.deletion.window_watch import WindowWatch
from include.registry_prune.exact_delete.events import (
    EXIT_DONE,
    EXIT_NOT_ALL,
    EXIT_UNTOUCHED,
    Event,
    Keeps,
    Note,
)
from include.registry_prune.exact_pod.hand_over import hand_over
from include.registry_prune.exact_pod.pod import (
    START_SECONDS,
    Follower,
    PodEnd,
    PodGoneError,
    clear_away,
    make_pod,
    show_note,
    wait_until_running,
)
from include.registry_prune.exact_pod.record import DeleteRecord, Listener
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.names import EXACT_DELETE_POD
from include.registry_prune.pruner.exact_delete_pod import DELETE, end_exact_pod, exact_pod
from include.registry_prune.pruner.progress import DeleteProgress, Progress
from include.registry_prune.window.in_the_way import require_clear_way
from include.registry_prune.window.lease import Holder
from include.registry_prune.window.opening import begin_by_list, require_open_window

log = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 5.0
"""So much earlier Kubernetes itself ends the pod: its log is there then, which goes with a pod that is deleted."""
_IMAGES_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class ListWork:
    """What is to be deleted, in which window.

    :param holder: whose window it is.
    :param image: the small image.
    :param seal: of the list that was judged; ``blocks``: reads the list as it is stored; ``digests``: reads its blobs,
        32 bytes each, one behind the other.
    :param ends_by: then it is ended between two batches: closing the window takes the rest of its time.
    :param attempts: so many pods are made at most.
    :param lease_seconds: how long the lease is valid from each renewal.
    :param settle_seconds: how long the registry may take to be whole before the pod is made.
    :param patience_seconds: how long the cluster may tell nothing of the pod.
    :param earlier: what a try before this one has kept; ``keep``: keeps what is known, before a pod goes with its log.
    """

    holder: Holder
    image: str
    seal: Seal
    blocks: Callable[[], Iterable[bytes]]
    digests: Callable[[], Iterable[bytes]]
    ends_by: datetime
    attempts: int
    lease_seconds: float
    settle_seconds: float
    patience_seconds: float
    earlier: DeleteRecord = field(default_factory=DeleteRecord)
    keep: Callable[[DeleteRecord], object] = lambda record: None


@dataclass(frozen=True)
class ListEnd:
    """How it ended.

    :param end: of the last pod.
    :param record: what became of each key.
    :param sliced: it was ended because its time was over.
    :param lost: why it was ended otherwise, by whoever watched beside it; None if it was not.
    :param tripped: an Image came to name a blob of the list while it was deleted.
    """

    end: PodEnd
    record: DeleteRecord
    seconds: float
    sliced: bool = False
    lost: str | None = None
    tripped: Tripped | None = None


class EndedError(Exception):
    """It was ended by whoever watched, before the pod had its list: nothing was deleted."""


class PodEnding(DeleteEnding):
    """Ends the pod once somebody asks for it."""

    uid = ""
    """Of the pod that there is now."""

    async def _end(self, cluster: AsyncCluster) -> None:
        if self.uid:
            await cluster.delete_pod(EXACT_DELETE_POD, uid=self.uid)


class ListDelete:
    """One delete by the list.

    :param connect: makes a connection for those who watch beside it.
    :param tell: gets how far it is, every few seconds, in the loop that :meth:`carry_out` runs in. It must not wait.
    """

    def __init__(
        self,
        cluster: Cluster,
        connect: Connect,
        work: ListWork,
        tell: Callable[[DeleteProgress], object] = lambda progress: None,
    ) -> None:
        self._cluster = cluster
        self._connect = connect
        self._work = work
        self._ending = PodEnding(connect)
        self._tripwire = Tripwire()
        self._images_known = threading.Event()
        self._trip: Trip | None = None
        self._listener = Listener()
        self._earlier = work.earlier
        self._started = time.monotonic()
        expected = work.seal.counts.get("blob", 0)
        self._progress = Progress(
            "delete",
            expected,
            ends_by=work.ends_by,
            tell=lambda progress: self._loop.call_soon_threadsafe(tell, progress),
        )

    async def carry_out(self) -> ListEnd:
        """Do it, to its end.

        :raises LeaseError, NotSettledError, InTheWayError: if it may not begin; nothing was deleted.
        :raises ExactPodError: if the pod could not be made, or did not get to work; nothing was deleted.
        :raises EndedError: if it was ended before it began.
        :raises PrunerLivesError: if the pod cannot be seen gone.
        :raises ClusterError: if the cluster does not answer, or refuses.
        """
        self._loop = asyncio.get_running_loop()
        # Before the first Image is known: each that names one of them is a hit.
        await asyncio.to_thread(self._tripwire.blobs, self._work.digests())
        images = ImageWatch(
            self._connect,
            self._tripwire,
            on_trip=self._on_trip,
            end=self._ending,
            on_listed=self._images_known.set,
        )
        window = WindowWatch(self._connect, self._work.holder, lease_seconds=self._work.lease_seconds, end=self._ending)
        works = (window.watch(), images.watch(), self._ending.carry_out())
        beside: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in works]
        try:
            end = await asyncio.to_thread(self._delete)
            tripped = None if self._trip is None else await evidence(self._connect, self._trip)
        finally:
            for task in beside:
                task.cancel()
            await end_tasks(*beside)
        # The kubelet's own deadline is a slice as well.
        sliced = not end.complete and (self._ending.as_planned or "DeadlineExceeded" in end.why)
        return ListEnd(
            end=end,
            record=self._record(),
            seconds=time.monotonic() - self._started,
            sliced=sliced,
            lost=None if self._ending.as_planned else self._ending.why,
            tripped=tripped,
        )

    def _record(self) -> DeleteRecord:
        attempts = (*self._earlier.attempts, self._listener.record())
        return DeleteRecord(window=self._work.holder.token, attempts=attempts)

    def _on_trip(self, trip: Trip) -> None:
        """An Image names a blob of the list. What is kept is put back afterwards; else only the end helps."""
        if self._trip is not None:
            return
        self._trip = trip
        begun = self._listener.begun
        if begun is None or begun.keeps is Keeps.NOTHING:
            names = ", ".join(trip.images)
            self._ending.ask(f"Image {names}, which came after the dry run, names {trip.blob}, which is to be deleted")
        else:
            log.warning("Image %s names %s, which is being deleted: put back afterwards", trip.images, trip.blob)

    def _delete(self) -> PodEnd:
        number = 1
        while True:
            last = number >= self._work.attempts
            try:
                uid = self._find_or_begin()
            except PodGoneError as error:
                self._require_going_on()
                if last:
                    raise
                log.warning("%s Another one is made", error)
            else:
                end = self._follow(uid)
                self._work.keep(self._record())
                clear_away(self._cluster, uid)
                if last or self._ending.why is not None or not _interrupted(end):
                    return end
                log.warning("The delete was interrupted (%s); it is begun again", end.text())
                self._earlier = self._record()
                self._listener = Listener()
            number += 1

    def _find_or_begin(self) -> str:
        """Uid of the pod to follow; it has its list."""
        cluster, holder = self._cluster, self._work.holder
        found = exact_pod(cluster)
        if found is not None and found.window != holder.token:
            found = None
        if found is not None and (found.purpose != DELETE or found.terminating):
            end_exact_pod(cluster, found)
            found = None
        # After that look: whoever holds the name while he closes the window has said so in the lease before.
        _, state = require_open_window(cluster, holder=holder)
        uid = self._ending.uid = self._make(state) if found is None else found.uid
        wait_until_running(cluster, uid, limit_seconds=START_SECONDS)
        self._wait_for_images()
        # Whoever closes the window between its lease and this pod has found no pod: without a list it does nothing.
        require_open_window(cluster, holder=holder)
        hand_over(cluster, uid, self._work.blocks, before_each=self._require_going_on)
        return uid

    def _make(self, state: RegistryState) -> str:
        cluster, holder = self._cluster, self._work.holder
        if unsettled(state, read_only=True):
            wait_until_settled(cluster, read_only=True, limit_seconds=self._work.settle_seconds)
        require_clear_way(cluster, own=holder)
        begin_by_list(cluster, holder=holder)
        left = (self._work.ends_by - datetime.now(UTC)).total_seconds()
        return make_pod(
            cluster,
            image=self._work.image,
            purpose=DELETE,
            window=holder.token,
            kept_as=holder.token,
            seal=self._work.seal,
            deadline_seconds=left - LAST_WORDS_SECONDS,
        )

    def _wait_for_images(self) -> None:
        """What Images name is known before the first blob goes."""
        while not self._images_known.wait(_IMAGES_LOOK_SECONDS):
            self._require_going_on()
        self._require_going_on()

    def _require_going_on(self) -> None:
        if self._ending.why is not None:
            raise EndedError(f"Nothing was deleted: {self._ending.why}")

    def _follow(self, uid: str) -> PodEnd:
        def tick() -> None:
            self._progress.blobs(self._listener.blobs)
            if datetime.now(UTC) >= self._work.ends_by:
                self._loop.call_soon_threadsafe(self._end_as_planned)

        end = Follower(self._cluster, uid, self._take).follow(
            limit_seconds=None, tick=tick, patience_seconds=self._work.patience_seconds
        )
        assert end is not None
        self._progress.say(self._listener.blobs)
        log.info("The delete by the list: %s", end.text())
        return end

    def _end_as_planned(self) -> None:
        self._ending.ask(f"the window's time is over, after {self._listener.blobs:,} blobs", as_planned=True)

    def _take(self, event: Event) -> None:
        self._listener.take(event)
        if isinstance(event, Note):
            show_note(event)
        begun = self._listener.begun
        if begun is event and begun is not None:
            log.info(
                "Deleting %s by the list in %s; what is deleted is %s",
                ", ".join(f"{count:,} of kind {kind}" for kind, count in begun.counts.items() if count),
                begun.storage,
                _KEPT[begun.keeps],
            )


def _interrupted(end: PodEnd) -> bool:
    """Whether somebody else has ended it, so that another one can go on: not the pod itself, with its reasons, and not
    its time."""
    if end.complete or "DeadlineExceeded" in end.why:
        return False
    told = end.ended is not None and end.exit_status in (EXIT_DONE, EXIT_NOT_ALL, EXIT_UNTOUCHED)
    return not told or (end.ended is not None and end.ended.ended_by == "SIGTERM")


_KEPT = {
    Keeps.RENAMED: "kept beside the registry's folder, and can be put back",
    Keeps.VERSIONS: "kept as versions by the bucket, and can be put back",
    Keeps.NOTHING: "gone for good",
}
