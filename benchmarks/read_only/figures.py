"""From what was observed to the figures of one run (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contestants.observer import Window

Span = tuple[float, float]
"""Begin and end, in seconds since the epoch."""


@dataclass(frozen=True)
class Spans:
    """What a read-only time was made of, in seconds.

    :param read_only: from the patch ``readOnly: true`` until no pod was read-only any more.
    :param rollouts: until all pods were read-only, and until none was any more.
    :param check: that the pruner worked with ``-prune=check``.
    :param delete: that the pruner worked with ``-prune=delete``.
    :param overhead: the rest. Where two of the others overlap, the time counts once.
    """

    read_only: float = 0.0
    rollouts: float = 0.0
    check: float = 0.0
    delete: float = 0.0
    overhead: float = 0.0


def spans(windows: Sequence[Window], journal: Iterable[Mapping[str, Any]]) -> Spans:
    """Take the windows of one run apart.

    :param journal: the pruners that ran, as the sandbox noted them.
    :raises ValueError: if a window was not closed.
    """
    runs = pruner_runs(journal)
    total = Spans()
    for window in windows:
        total = _sum(total, _of_window(window, runs))
    return total


def pruner_runs(journal: Iterable[Mapping[str, Any]]) -> list[tuple[str, Span]]:
    """Mode and span of each pruner that ran to its end."""
    starts: dict[int, Mapping[str, Any]] = {}
    runs = []
    for entry in journal:
        if entry["event"] == "start":
            starts[entry["pid"]] = entry
        elif entry["pid"] in starts:
            start = starts.pop(entry["pid"])
            runs.append((str(start["mode"]), (float(start["time"]), float(entry["time"]))))
    return runs


def _of_window(window: Window, runs: Sequence[tuple[str, Span]]) -> Spans:
    if window.closed_at is None or window.reopened_at is None:
        raise ValueError(f"the window was not closed: {window}")
    whole = (window.opened_at, window.closed_at)
    there = (window.opened_at, min(window.settled_at or window.reopened_at, window.reopened_at))
    back = (window.reopened_at, window.closed_at)
    checks, deletes = ([_within(span, whole) for mode, span in runs if mode == each] for each in ("check", "delete"))
    return Spans(
        read_only=_length(whole),
        rollouts=_length(there) + _length(back),
        check=covered(checks),
        delete=covered(deletes),
        overhead=_length(whole) - covered([there, back, *checks, *deletes]),
    )


def covered(parts: Iterable[Span]) -> float:
    """Seconds that at least one of the spans covers."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(parts):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _within(span: Span, whole: Span) -> Span:
    begin = min(max(span[0], whole[0]), whole[1])
    return begin, max(min(span[1], whole[1]), begin)


def _length(span: Span) -> float:
    return span[1] - span[0]


def _sum(one: Spans, other: Spans) -> Spans:
    return Spans(*(getattr(one, name) + getattr(other, name) for name in Spans.__dataclass_fields__))
