"""What a slice leaves: how many more it takes, and whether that gets anywhere (pure)."""

from __future__ import annotations

import math

from include.registry_prune.units import format_count
from include.registry_prune.verdict.history import History

_SLICES = 3
"""So many in a row that do not shrink the backlog are no chance."""


def slices_left(*, left: int, deleted: int) -> int | None:
    """How many more runs it takes at the rate of a slice; None: it deleted nothing, so no number is enough."""
    return math.ceil(left / deleted) if deleted else None


def backlog_problem(history: History, *, found: int, deleted: int, left: int, most_slices: int) -> str:
    """Why a backlog needs a person; empty if it does not.

    :param history: of the runs before.
    :param found: orphans that this run found; ``deleted``: of these by its slice, ``left``: the others.
    :param most_slices: the setting.
    """
    more = slices_left(left=left, deleted=deleted)
    before = [each.orphaned_blobs for each in history.slices if each.orphaned_blobs is not None]
    advice = "Raise the setting window_limit, make the opening hours longer, or run the schedule more often."
    if more is None or more > most_slices:
        takes = "it deleted nothing" if more is None else f"at this rate it takes {format_count(more, 'more run')}"
        return (
            f"{format_count(left, 'orphaned blob')} are left after this slice, and {takes}; the setting most_slices "
            f"allows {most_slices:,}. {advice}"
        )
    recent = [found, *before[: _SLICES - 1]]
    if len(recent) == _SLICES and recent == sorted(recent, reverse=True):
        return (
            f"the backlog does not shrink: the last {_SLICES} slices began with "
            f"{', '.join(f'{each:,}' for each in reversed(recent))} orphaned blobs. {advice}"
        )
    return ""
