"""How long a delete will take, and how many windows, from its dry run and the cluster's earlier deletes (pure).

A delete walks the whole storage, and needs more requests for each orphan: so it takes about the dry run's time, and a
cost for each orphan on top. Earlier deletes tell that cost. Without any, a published run of the same code does: 505,651
blobs on object storage took 4 h 21 min to scan and 14 h 43 min to remove, that is 2.4 times the scan's time per blob on
top.

A delete that does not fit into one window is done in slices. Each begins its walk anew, and a slice that gets half way
through the storage has walked half of it.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Literal

from pydantic import Field

from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_seconds
from include.registry_prune.verdict.history import History

_PUBLISHED_SCAN_SECONDS = 4 * 3600 + 21 * 60
_PUBLISHED_DELETE_SECONDS = 14 * 3600 + 43 * 60
DELETE_BY_SCAN = _PUBLISHED_DELETE_SECONDS / _PUBLISHED_SCAN_SECONDS - 1
"""What a blob's removal cost there beyond its scan, in units of its scan."""
UNCERTAINTY = 2.0
"""Another storage may be twice as slow, for all that one published run tells."""
ROLLOUTS_SECONDS = 2 * 45.0
"""Both rollouts of a cluster that has had no window yet: one was seen to take 42 s on three nodes."""
_DAY_SECONDS = 86_400.0
LIST_START_SECONDS = 5.0
"""For the pod of a delete by the list to begin: on the real operator one ran 2 s after it was made."""
LIST_SECONDS_PER_BLOB = 0.001
"""Of a delete by the list, without an earlier one: a rename on a file share that answers in 8 ms, eight at once. A
bucket takes a twentieth of it."""


class WindowPlan(Record):
    """What a window will hold beside the delete.

    :param limit_seconds: how long it may last.
    :param scans: the storage is scanned in it.
    :param by_list: the delete is by the list: it walks through nothing.
    """

    limit_seconds: float = Field(default=_DAY_SECONDS, gt=0, allow_inf_nan=False)
    scans: bool = False
    by_list: bool = False


class Estimate(Record):
    """How long a delete will take, and what its window holds beside it.

    :param low_seconds: the delete will hardly be quicker than the scan alone, or than the quickest earlier delete.
    :param high_seconds: it may be as slow as the slowest earlier delete, or take twice the likely time.
    :param earlier_deletes: how many deletes of this cluster it comes from; 0: it comes from the published run.
    :param by_list: of a delete by the list.
    :param rollouts_seconds: both rollouts together.
    :param scan_seconds: of a scan inside the window; 0: there is none.
    :param windows: so many windows it will take; None: no number is enough, as the limit leaves no time to delete.
    """

    version: Literal[2] = 2
    likely_seconds: float = Field(ge=0, allow_inf_nan=False)
    low_seconds: float = Field(ge=0, allow_inf_nan=False)
    high_seconds: float = Field(ge=0, allow_inf_nan=False)
    earlier_deletes: int = Field(default=0, ge=0)
    by_list: bool = False
    rollouts_seconds: float = Field(default=ROLLOUTS_SECONDS, ge=0, allow_inf_nan=False)
    scan_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    windows: int | None = Field(default=1, ge=1)

    @property
    def window_seconds(self) -> float:
        """How long the registry would be read-only if the delete were done in one window."""
        return self.rollouts_seconds + self.scan_seconds + self.likely_seconds

    @property
    def least_seconds(self) -> float:
        """How much time a window is worth opening for: one whose delete is as long as its rollouts, or the whole."""
        return min(self.window_seconds, 2 * self.rollouts_seconds + self.scan_seconds)

    def text(self) -> str:
        """The likely time, the range, what both come from, and the windows."""
        elsewhere = (
            "by what a slow file share takes, as this cluster has no earlier delete by the list"
            if self.by_list
            else "by its dry run and a published run elsewhere, as this cluster has no earlier delete"
        )
        of_these = format_count(self.earlier_deletes, "earlier delete")
        by = f"by {of_these} of this cluster" if self.earlier_deletes else elsewhere
        span = f"{format_seconds(self.low_seconds)} to {format_seconds(self.high_seconds)}"
        return f"about {format_seconds(self.likely_seconds)} ({span}), {by}; {self._windows_text()}"

    def _windows_text(self) -> str:
        if self.windows is None:
            return "the setting window_limit leaves no time to delete: raise it"
        if self.windows > 1:
            return f"it takes {self.windows:,} windows of the setting window_limit"
        return f"the registry is read-only for about {format_seconds(self.window_seconds)}"


def estimate_delete(
    *, orphaned_blobs: int, stored_blobs: int, scan_seconds: float, plan: WindowPlan, history: History
) -> Estimate:
    """Estimate a delete.

    :param stored_blobs: orphans and kept ones together, as far as known; the scan's time is shared among them.
    :param scan_seconds: that the dry run took.
    """
    costs = history.seconds_per_blob(by_list=plan.by_list)
    walk = LIST_START_SECONDS if plan.by_list else scan_seconds
    if costs:
        likely, low, high = (walk + orphaned_blobs * cost for cost in (median(costs), min(costs), max(costs)))
    elif plan.by_list:
        low, likely = walk, walk + orphaned_blobs * LIST_SECONDS_PER_BLOB
        high = UNCERTAINTY * likely
    else:
        share = orphaned_blobs / max(stored_blobs, orphaned_blobs, 1)
        low, likely = scan_seconds, scan_seconds * (1 + DELETE_BY_SCAN * share)
        high = UNCERTAINTY * likely
    rollouts = history.rollouts_seconds or ROLLOUTS_SECONDS
    inside = scan_seconds if plan.scans else 0.0
    return Estimate(
        likely_seconds=round(likely, 1),
        low_seconds=round(low, 1),
        high_seconds=round(high, 1),
        earlier_deletes=len(costs),
        by_list=plan.by_list,
        rollouts_seconds=round(rollouts, 1),
        scan_seconds=round(inside, 1),
        windows=_windows(likely, walk=walk, usable=plan.limit_seconds - rollouts - inside),
    )


def _windows(likely: float, *, walk: float, usable: float) -> int | None:
    """How many windows a delete takes: n slices walk 1/n, 2/n … of the storage, that is (n + 1) / 2 times all of it.

    :param walk: seconds of one walk through the storage, which ``likely`` has in it once.
    :param usable: seconds of a window that are left to delete.
    """
    if likely <= usable:
        return 1
    if usable <= walk / 2:
        return None
    return math.ceil((likely - walk / 2) / (usable - walk / 2))
