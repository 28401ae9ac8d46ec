"""How long a delete will take, from its dry run and earlier deletes of the cluster (pure).

A delete first walks the storage as the dry run did, and then needs more requests for each orphan: so it takes the dry
run's time, and a cost for each orphan on top. Earlier deletes tell that cost. Without any, a published run of the same
code does: 505,651 blobs on object storage took 4 h 21 min to scan and 14 h 43 min to remove, that is 2.4 times the
scan's time per blob on top.
"""

from __future__ import annotations

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


class Estimate(Record):
    """How long a delete will take.

    :param low_seconds: it will hardly be quicker than the scan alone, or than the quickest earlier delete.
    :param high_seconds: it may be as slow as the slowest earlier delete, or take twice the likely time.
    :param earlier_deletes: how many deletes of this cluster it comes from; 0: it comes from the published run.
    """

    version: Literal[1] = 1
    likely_seconds: float = Field(ge=0, allow_inf_nan=False)
    low_seconds: float = Field(ge=0, allow_inf_nan=False)
    high_seconds: float = Field(ge=0, allow_inf_nan=False)
    earlier_deletes: int = Field(default=0, ge=0)

    def text(self) -> str:
        """The likely time, the range, and what both come from."""
        by = (
            f"by {format_count(self.earlier_deletes, 'earlier delete')} of this cluster"
            if self.earlier_deletes
            else "by its dry run and a published run elsewhere, as this cluster has no earlier delete"
        )
        span = f"{format_seconds(self.low_seconds)} to {format_seconds(self.high_seconds)}"
        return f"about {format_seconds(self.likely_seconds)} ({span}), {by}"


def estimate_delete(*, orphaned_blobs: int, stored_blobs: int, scan_seconds: float, history: History) -> Estimate:
    """Estimate a delete.

    :param stored_blobs: orphans and kept ones together, as far as known; the scan's time is shared among them.
    :param scan_seconds: that the dry run took.
    """
    costs = history.seconds_per_blob
    if costs:
        likely, low, high = (scan_seconds + orphaned_blobs * cost for cost in (median(costs), min(costs), max(costs)))
    else:
        share = orphaned_blobs / max(stored_blobs, orphaned_blobs, 1)
        low, likely = scan_seconds, scan_seconds * (1 + DELETE_BY_SCAN * share)
        high = UNCERTAINTY * likely
    return Estimate(
        likely_seconds=round(likely, 1),
        low_seconds=round(low, 1),
        high_seconds=round(high, 1),
        earlier_deletes=len(costs),
    )
