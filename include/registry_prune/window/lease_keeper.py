"""Keeps a run's lease from running out while one of its tasks works, or while somebody follows its delete."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.registry_prune.cluster.async_cluster import AsyncCluster, Connect, beside
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.units import format_seconds
from include.registry_prune.window.config_lease import lease_patch, require_own_lease
from include.registry_prune.window.lease import Holder, LeaseError

if TYPE_CHECKING:
    from include.registry_prune.cluster.cluster import Cluster

log = logging.getLogger(__name__)

TRY_AGAIN_SECONDS = 10.0
"""After a renewal that failed."""


class NotRenewedError(LeaseError):
    """The lease has been renewed for as long as it may be."""


class LeaseRenewal:
    """Renews a lease at once, and then three times in its life.

    :param holder: whose window it is.
    :param lasts: how long the lease is valid from each renewal.
    :param no_longer_than: seconds after which it is not renewed any more, so that a guard closes the window of a
        process that hangs; None: the caller comes to an end by itself.
    """

    def __init__(self, *, holder: Holder, lasts: timedelta, no_longer_than: float | None = None) -> None:
        self._holder = holder
        self._lasts = lasts
        self._limit = math.inf if no_longer_than is None else no_longer_than
        self._began = time.monotonic()
        self._renewed = -math.inf

    @property
    def pause_seconds(self) -> float:
        """From one renewal to the next."""
        return self._lasts.total_seconds() / 3

    async def renew(self, cluster: AsyncCluster, config: dict[str, Any]) -> None:
        """Renew the lease, if it is time to.

        :param config: the Config CR, just read.
        :raises LeaseError: if the run does not hold the lease.
        :raises NotRenewedError: if it has been renewed for as long as it may be.
        :raises ClusterError: status 409 if somebody changed the Config meanwhile.
        """
        lease = require_own_lease(config, self._holder)
        now = time.monotonic()
        if now - self._began > self._limit:
            raise NotRenewedError(
                f"The work in the window of {self._holder} has not ended within {format_seconds(self._limit)}, so the "
                f"run stops renewing its lease: it runs out at {lease.expires_at:%Y-%m-%d %H:%M:%S %Z}, and the guard "
                "closes the window then"
            )
        if now - self._renewed >= self.pause_seconds:
            until = datetime.now(UTC) + self._lasts
            version = config["metadata"]["resourceVersion"]
            await cluster.patch_config(lease_patch(lease.renewed(until)), resource_version=version)
            self._renewed = now


@contextmanager
def lease_kept(cluster: Cluster, *, holder: Holder, lasts: timedelta, no_longer_than: float | None) -> Iterator[None]:
    """Renews the lease while the context is open, beside the task's own work.

    A renewal that fails is tried again; a run that lost its lease finds that out at its next step. For the parameters
    see :class:`LeaseRenewal`.
    """
    renewal = LeaseRenewal(holder=holder, lasts=lasts, no_longer_than=no_longer_than)

    async def keep_lease(connect: Connect) -> None:
        while True:
            pause = renewal.pause_seconds
            try:
                async with connect() as connection:
                    await renewal.renew(connection, await connection.config())
            except LeaseError as error:
                loud = isinstance(error, NotRenewedError)
                log.log(logging.CRITICAL if loud else logging.WARNING, "This task stops renewing the lease: %s", error)
                return
            except ClusterError as error:
                pause = 0.1 if error.status == 409 else min(pause, TRY_AGAIN_SECONDS)
                if error.status != 409:
                    log.warning("The lease could not be renewed; trying again: %s", error)
            except Exception:  # whatever an answer has in it: who stops here lets the lease run out
                log.exception("The lease could not be renewed; trying again")
                pause = min(pause, TRY_AGAIN_SECONDS)
            await asyncio.sleep(pause)

    with beside(cluster.configuration, keep_lease):
        yield
