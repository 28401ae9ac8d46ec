"""What a run that is about to open a window has to know of the other clusters of the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from include.registry_prune.fleet.canary import Ended, canary
from include.registry_prune.fleet.claims import claims_of, own_claim, release_claim, write_claim
from include.registry_prune.fleet.turn import claim_of, why_not_yet
from include.registry_prune.preflight.right_moment import Obstacle
from include.registry_prune.report.kept_reports import kept_reports
from include.registry_prune.settings.clusters_file import other_entries, other_entry
from include.registry_prune.verdict.decision import Action, Verdict

if TYPE_CHECKING:
    from include.registry_prune.settings.clusters import ClusterSettings

_READ_REPORTS = 20


def canaries(settings: ClusterSettings) -> Verdict | list[Obstacle]:
    """What the clusters that go first have to say: a verdict if it is known already, else what is in the way.

    :raises SettingsError: if the file cannot be read.
    """
    waits = []
    for name in settings.after:
        first = other_entry(name)
        if first is None:
            waits.append(Obstacle(f"cluster {name}, which goes first (after), is not in clusters.yaml", Action.SKIP))
            continue
        try:
            reports = kept_reports(first.artifacts, first.dag_id, newest=_READ_REPORTS).reports
        except OSError as error:
            waits.append(Obstacle(f"whether cluster {name}, which goes first, ended well: {error}", Action.SKIP))
            continue
        seen = canary(name, reports, now=datetime.now(UTC), zone=settings.time_zone)
        if seen.ended is Ended.BADLY:
            return Verdict(action=Action.SKIP, reasons=(f"this run opens no window: {seen.what}",))
        waits += [Obstacle(seen.what, Action.SKIP)] if seen.ended is Ended.NOT_YET else []
    return waits


def turn_obstacles(settings: ClusterSettings, run: str) -> list[Obstacle]:
    """Claim this cluster's turn; what is in the way of it, empty if it has come.

    :param run: its name.
    :raises SettingsError: if the file cannot be read.
    """
    if not settings.windows_at_once:
        return []
    now = datetime.now(UTC)
    try:
        own = claim_of(own_claim(settings), cluster=settings.name, run=run, now=now)
        write_claim(own, settings)
        others = claims_of(each for each in other_entries() if each.name != settings.name)
        reason = why_not_yet(own, others, now=now, at_once=settings.windows_at_once)
        if reason is None:
            lasts = timedelta(seconds=settings.seconds("window_limit") + settings.seconds("settle_limit"))
            write_claim(own.opened(now + lasts), settings)
    except OSError as error:
        reason = f"how many clusters are read-only is not known (windows_at_once): {error}"
    return [Obstacle(reason, Action.SKIP)] if reason else []


def release_turn(settings: ClusterSettings, run: str) -> None:
    """The next one's turn: a run's window is closed, or will not be opened. It never raises.

    :param run: its name; empty: no run's.
    """
    if settings.windows_at_once and run:
        release_claim(settings, run)
