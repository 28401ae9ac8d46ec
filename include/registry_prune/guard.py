"""The guard: closes a window whose run is gone, in the same way as the run would have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from include.registry_prune.cluster import Cluster
from include.registry_prune.config_lease import read_lease
from include.registry_prune.lease import Lease
from include.registry_prune.records import Record
from include.registry_prune.units import format_seconds
from include.registry_prune.window_closing import ClosingLimits, close_window

log = logging.getLogger(__name__)


class Found(StrEnum):
    """What the guard found."""

    NOTHING = "nothing to do"
    AT_WORK = "a run is at work"
    CLOSED = "closed a window"
    UNEXPLAINED = "read-only without a lease"


class GuardRound(Record):
    """One look of the guard at one cluster.

    :param text: for the administrator.
    :param alert: somebody should be told.
    :param read_only_seconds: of a window that it closed, or since the oldest read-only pod of an unexplained one.
    """

    version: Literal[1] = 1
    found: Found
    text: str
    read_only_seconds: float | None = None
    alert: bool = False


def why_dead(lease: Lease, *, now: datetime, run_is_over: Callable[[str], bool]) -> str | None:
    """Why the window of this lease has to be closed by somebody else; None if its run still works (pure).

    :param run_is_over: whether the run of a holder is known to have ended.
    """
    if lease.expired(now):
        return f"its lease ran out at {lease.expires_at:%Y-%m-%d %H:%M:%S %Z}"
    if run_is_over(lease.holder):
        return "its run is over"
    return None


def guard(cluster: Cluster, *, limits: ClosingLimits, run_is_over: Callable[[str], bool]) -> GuardRound:
    """Look at a cluster, and close a window whose run is gone.

    A registry that is read-only without a lease is somebody else's: it is reported, never touched.

    :raises LeaseError: if the lease is unreadable.
    :raises PrunerLivesError, NotSettledError: as :func:`window_closing.close_window`; the next round goes on.
    """
    lease = read_lease(cluster)
    if lease is None:
        return _without_lease(cluster)
    dead = why_dead(lease, now=datetime.now(UTC), run_is_over=run_is_over)
    if dead is None:
        return GuardRound(found=Found.AT_WORK, text=f"{lease.holder} is at work {lease.run_url}".rstrip())
    log.warning("The window of %s is closed by the guard: %s", lease.holder, dead)
    settled = close_window(cluster, holder=lease.holder, limits=limits)
    if settled is None:
        return GuardRound(found=Found.NOTHING, text=f"the window of {lease.holder} was closed meanwhile")
    was_open = f"it was read-only for {format_seconds(settled.read_only_seconds)}" if settled.read_only_seconds else ""
    text = f"The guard closed the window of {lease.holder}: {dead}. The registry takes pushes; {was_open or 'it did'}."
    return GuardRound(found=Found.CLOSED, text=text, read_only_seconds=settled.read_only_seconds)


def _without_lease(cluster: Cluster) -> GuardRound:
    state = cluster.registry_state()
    if not state.read_only:
        return GuardRound(found=Found.NOTHING, text="the registry takes pushes")
    created = [pod.created_at for pod in state.pods if pod.read_only and pod.created_at is not None]
    age = (datetime.now(UTC) - min(created)).total_seconds() if created else 0.0
    return GuardRound(
        found=Found.UNEXPLAINED,
        text=f"The registry is read-only for at least {format_seconds(age)}, and no lease of this project says why: "
        "pushes and builds fail. Somebody set spec.readOnly of Config cluster; it is left alone.",
        read_only_seconds=age,
    )


def worth_an_alert(seen: GuardRound, *, limit_seconds: float, period_seconds: float) -> bool:
    """Whether somebody should be told of this round (pure).

    Of a registry that somebody else made read-only: when the limit is reached, and once more after each further one.

    :param period_seconds: time between two rounds.
    """
    if seen.found is not Found.UNEXPLAINED or seen.read_only_seconds is None:
        return seen.found is Found.CLOSED
    age = seen.read_only_seconds
    return age // limit_seconds > max(age - period_seconds, 0) // limit_seconds
