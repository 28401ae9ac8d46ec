"""Tells the tripwire of the cluster's Images while a delete works: a list first, then every change."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.requests import IMAGE_STREAMS, IMAGES, watch
from include.registry_prune.deletion.tripwire import Trip, Tripped, Tripwire
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.references import (
    KEPT_TAGS,
    MalformedObjectError,
    audit,
    audit_streams,
    digest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect
    from include.registry_prune.deletion.ending import DeleteEnding

log = logging.getLogger(__name__)

IMAGES_UNKNOWN_SECONDS = 300.0
"""How long the delete goes on while nothing is learnt of Images; then it is ended. A restart of the OpenShift API
server, and a list of 50,000 Images after it, are over by then; and for this long the dry run's list, which was held
against the Images of its own moment, has to do."""
IMAGES_AT_ONCE = 100
"""An Image is about 10 KiB of JSON. To parse so many takes some 10 ms, in which nobody else gets on who shares the
loop."""
PLAUSIBLE_SHARE = 0.5
"""This share of the Images has to stay while a delete works: nobody deletes half of them while no push is taken."""
RETRY_SECONDS, PAUSE_SECONDS = 1.0, 0.1
EVIDENCE_SECONDS = 20.0
"""For the names of tags: the registry is read-only meanwhile."""
_GONE = 410


class ImageWatch:
    """Lists the Images, then watches them, and has the delete ended when nothing is known of them for too long.

    :param connect: makes a connection to the cluster; called again after trouble.
    :param on_trip: gets what the tripwire finds.
    :param end: of the delete.
    :param on_listed: called each time when all Images are known.
    """

    def __init__(
        self,
        connect: Connect,
        tripwire: Tripwire,
        *,
        on_trip: Callable[[Trip], object],
        end: DeleteEnding,
        on_listed: Callable[[], object] = lambda: None,
    ) -> None:
        self._connect = connect
        self._tripwire = tripwire
        self._on_trip = on_trip
        self._end = end
        self._on_listed = on_listed
        self._known_at = time.monotonic()
        self._most = 0
        self._version = ""
        """To watch from; empty: the Images have to be listed first."""

    async def watch(self) -> None:
        """Go on until it is cancelled, or the delete has to be ended because of what is not known."""
        while self._end.why is None:
            try:
                async with self._connect() as cluster:
                    while self._end.why is None:
                        await self._go_on(cluster)
            except MalformedObjectError as error:
                self._end.ask(str(error))
            except ClusterError as error:
                if error.status == _GONE:
                    self._version = ""
                log.warning("The look at the Images failed; trying again: %s", error)
                self._require_known(str(error))
            except Exception as error:  # whatever an answer has in it
                log.exception("The look at the Images failed; trying again")
                self._require_known(str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _go_on(self, cluster: AsyncCluster) -> None:
        if not self._version or self._tripwire.worn:
            await self._list(cluster)
        await self._watch(cluster)
        await asyncio.sleep(PAUSE_SECONDS)

    def _require_known(self, trouble: str) -> None:
        unknown_for = time.monotonic() - self._known_at
        if unknown_for > IMAGES_UNKNOWN_SECONDS:
            self._end.ask(
                f"for {format_seconds(unknown_for)} the cluster has not told which Images there are ({trouble}), so "
                "nobody knows whether one names what the delete deletes. Another run goes on from there"
            )

    async def _list(self, cluster: AsyncCluster) -> None:
        began = time.monotonic()
        self._tripwire.list_anew()
        async for page in cluster.pages(IMAGES, per_page=IMAGES_AT_ONCE):
            for image in page["items"]:
                self._take(image)
            self._require_known("the list takes too long")
        self._tripwire.all_listed()
        self._version = str(page["metadata"]["resourceVersion"])
        self._known_at = time.monotonic()
        self._require_plausible()
        took = format_seconds(self._known_at - began)
        self._on_listed()
        log.info("The tripwire knows what %s Images name, after %s", f"{self._tripwire.images:,}", took)

    async def _watch(self, cluster: AsyncCluster) -> None:
        """Tell of changes until the API server ends the watch."""
        request = watch(IMAGES, resourceVersion=self._version, allowWatchBookmarks="true")
        async for line in cluster.watch(request):
            event = json.loads(line)
            kind, changed = event["type"], event["object"]
            if kind == "ERROR":
                raise ClusterError(f"The watch of Images failed: {changed.get('message')}", int(changed.get("code", 0)))
            if kind == "DELETED":
                self._tripwire.image_gone(str(changed["metadata"]["name"]))
                self._require_plausible()
            elif kind in ("ADDED", "MODIFIED"):
                self._take(changed)
            self._version = str(changed["metadata"]["resourceVersion"])
            self._known_at = time.monotonic()
        self._known_at = time.monotonic()

    def _require_plausible(self) -> None:
        """Images that are gone name nothing: so the tripwire alone would not notice that the API has lost them."""
        self._most = max(self._most, self._tripwire.images)
        if self._tripwire.images < max(self._most * PLAUSIBLE_SHARE, 1):
            self._end.ask(
                f"the cluster tells of {self._tripwire.images:,} Images, and told of {self._most:,} before: what the "
                "others named cannot be held against what the delete deletes. Was etcd restored from a backup? See "
                "that all Images are there before another run"
            )

    def _take(self, image: dict[str, Any]) -> None:
        trip = self._tripwire.image(image)
        if trip is not None:
            self._on_trip(trip)


async def evidence(connect: Connect, trip: Trip) -> Tripped:
    """What is known of the Images that the tripwire found: what the blob is to them, and which tags lead to them.

    For some seconds only; without it, the Images' names have to do.
    """
    found = None
    digest = digest_bytes(trip.blob)
    try:
        async with asyncio.timeout(EVIDENCE_SECONDS), connect() as cluster:
            images = []
            for name in trip.images:
                async for page in cluster.pages(IMAGES, fieldSelector=f"metadata.name={name}"):
                    images += page["items"]
            found = audit({digest} if digest else (), images)
            tags: dict[str, tuple[str, ...]] = {}
            async for page in cluster.pages(IMAGE_STREAMS, per_page=IMAGES_AT_ONCE):
                for name, more in audit_streams((), page["items"], images=found.named_images()).tags.items():
                    tags[name] = (*tags.get(name, ()), *more)[:KEPT_TAGS]
                found = found.with_tags(tags)
    except (ClusterError, MalformedObjectError, TimeoutError) as error:
        log.warning("The cluster did not tell all of the Images that name %s: %s", trip.blob, error)
    return Tripped.of(trip, found)
