"""Is this the moment to open the window? What is in the way, what goes by itself, and what if it does not (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from include.registry_prune.settings.opening_hours import OpeningHours
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.decision import Action, Verdict


@dataclass(frozen=True)
class Obstacle:
    """Something that is in the way and may go by itself.

    :param what: what it is.
    :param if_it_stays: what follows when the wait is over and it is still there.
    """

    what: str
    if_it_stays: Action


_SEVERITY = (Action.PRUNE, Action.SKIP, Action.STOP)


def judge(
    obstacles: Iterable[Obstacle],
    *,
    now: datetime,
    hours: OpeningHours,
    needs_seconds: float | None,
    waited_seconds: float,
    wait_seconds: float,
) -> Verdict | None:
    """Open the window now (*prune*), not in this run (*skip*, *stop*), or look again (None).

    Outside the opening hours a run waits for them only if they begin before the wait is over.

    :param needs_seconds: how much time a window has to have, if that is known.
    :param waited_seconds: since the first look; at most ``wait_seconds`` are waited.
    """
    found = list(obstacles)
    left = wait_seconds - waited_seconds
    closed = hours.why_not(now, needs_seconds=needs_seconds)
    if closed:
        opening = hours.next_opening(now)
        begins_in_time = opening is not None and 0 < (opening - now).total_seconds() <= left
        if begins_in_time and hours.why_not(opening or now, needs_seconds=needs_seconds) is None:
            return None
        return Verdict(action=Action.SKIP, reasons=(f"this run does not open the window now: {closed}",))
    if found and left > 0:
        return None
    waited = f" after a wait of {format_seconds(waited_seconds)}" if waited_seconds >= 1 else ""
    if not found:
        return Verdict(action=Action.PRUNE, reasons=(f"nothing is in the way of the window{waited}",))
    action = max((obstacle.if_it_stays for obstacle in found), key=_SEVERITY.index)
    ending = {
        Action.PRUNE: "the run opens the window all the same",
        Action.SKIP: "this run opens no window",
        Action.STOP: "the run stops here and opens no window",
    }[action]
    return Verdict(action=action, reasons=(*(f"{each.what}{waited}" for each in found), ending))
