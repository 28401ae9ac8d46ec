"""Whether a registry takes pushes, as far as Airflow knows without asking the cluster (pure).

Two know of it: the guard, which looks every five minutes, and a run, whose tasks open and close the window. Whoever
knows it last is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.lease import Lease

GUARD_SILENT = timedelta(minutes=30)
"""Six rounds of the guard; ``deploy/prometheus-rules.yaml`` alerts after the same time."""
FAILED_IN_A_ROW = 3
LATE = timedelta(hours=1)
"""When a prune is overdue: so many runs have failed since the last that did not; so late is one that nobody begins."""

State = Literal["takes pushes", "read-only", "not known"]


@dataclass(frozen=True)
class RegistryNow:
    """What is known.

    :param known_at: when that was so.
    :param since: since when it is read-only.
    :param by: ``dag_id/run_id`` of the run whose window it is; empty if it is nobody's, or not known.
    :param must_end_by: when the window has to be closed; ``overdue``: it should have been by now.
    :param text: what the guard said, or why nothing is known.
    :param told_by: who knows it: ``guard`` or ``run``; empty if nobody does.
    """

    state: State
    known_at: datetime | None = None
    since: datetime | None = None
    by: str = ""
    must_end_by: datetime | None = None
    overdue: bool = False
    text: str = ""
    told_by: Literal["guard", "run", ""] = ""


@dataclass(frozen=True)
class OpenWindow:
    """A window of a run that is at work, by the states of its tasks.

    :param run: ``dag_id/run_id``.
    :param since: when ``set_read_only`` began.
    :param lease: what ``arm_window`` handed over; None if that cannot be read.
    """

    run: str
    since: datetime
    lease: Lease | None = None


def registry_now(
    guard: GuardRound | None, looked_at: datetime | None, window: OpenWindow | None, *, now: datetime
) -> RegistryNow:
    """What is known of one registry.

    :param guard: the guard's last round; ``looked_at``: when that was. None: none is known, or it may not be seen.
    :param window: of a run that is at work.
    """
    closed_since = guard is not None and guard.found is Found.CLOSED
    if window is not None and not (closed_since and looked_at is not None and looked_at > window.since):
        end = window.lease.must_end_by if window.lease is not None else None
        if end is None and guard is not None and guard.holder == window.run:
            end = guard.must_end_by
        return RegistryNow(
            "read-only",
            known_at=now,
            since=window.since,
            by=window.run,
            must_end_by=end,
            overdue=end is not None and end <= now,
            told_by="run",
        )
    if guard is None or looked_at is None:
        return RegistryNow("not known", text="The guard has not looked for a day, or its rounds are not yours to see.")
    if guard.read_only is None:
        return RegistryNow("not known", known_at=looked_at, text=guard.message, told_by="guard")
    return RegistryNow(
        "read-only" if guard.read_only else "takes pushes",
        known_at=looked_at,
        since=guard.read_only_since,
        by=guard.holder if guard.read_only else "",
        must_end_by=guard.must_end_by if guard.read_only else None,
        overdue=guard.read_only and guard.must_end_by is not None and guard.must_end_by <= now,
        text=guard.message,
        told_by="guard",
    )


def attention(
    registry: RegistryNow,
    *,
    guard_looked_at: datetime | None,
    guard_paused: bool,
    paused: bool,
    failed_in_a_row: int,
    due_at: datetime | None,
    same_cluster: Sequence[str],
    now: datetime,
) -> tuple[str, ...]:
    """What somebody should look at, besides a registry that is read-only.

    :param guard_looked_at: None: it is not known, or may not be seen.
    :param failed_in_a_row: the last runs that ended badly, up to the first that did not.
    :param due_at: when the next run is due; in the past if nothing begins it; None: there is no schedule.
    :param same_cluster: other entries whose guards have looked at the same cluster.
    """
    found = []
    if registry.overdue:
        found.append("The registry should take pushes again by now.")
    if same_cluster:
        found.append(
            f"It is the same cluster as that of {', '.join(same_cluster)}, as their guards have seen: remove all but "
            "one of these entries of clusters.yaml, or correct their connections."
        )
    if guard_paused and not paused:
        found.append("The guard is paused: nobody closes a window whose run is gone.")
    elif guard_looked_at is not None and now - guard_looked_at > GUARD_SILENT:
        found.append("The guard has not looked for more than half an hour: a window whose run dies would stay open.")
    if failed_in_a_row >= FAILED_IN_A_ROW:
        found.append(f"A prune is overdue: the last {failed_in_a_row} runs have all failed.")
    if not paused and due_at is not None and now - due_at > LATE:
        found.append("A prune is overdue: its run was due more than an hour ago, and Airflow has not begun it.")
    return tuple(found)
