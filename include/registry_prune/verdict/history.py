"""Earlier runs of a cluster: how many orphans they found and how quick their deletes were (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import takewhile
from statistics import median
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from include.registry_prune.records import Record

KEPT_RUNS = 20
"""At most this many earlier runs count: three weeks of a daily schedule, so that the median grows with the registry."""
FEWEST_RUNS = 3
"""A median of fewer runs says nothing."""
FEWEST_DELETED_BLOBS = 100
"""A smaller delete takes as long as its connection and its start: it says nothing about the storage's speed."""


class PastRun(Record):
    """What later runs need to know of one run. None: not known, or not to be believed (its verdict was *stop*).

    :param cluster_id: of the cluster that the run worked with (``spec.clusterID`` of its ClusterVersion).
    :param ended_at: when it made its report.
    :param orphaned_blobs: that its last dry run found.
    :param deleted_blobs: by a delete that came to its end, or to that of its window.
    :param left_blobs: that it left to the next run; 0: it came to its end.
    :param scan_seconds: of the last dry run.
    :param delete_seconds: of that delete.
    :param rollouts_seconds: of both rollouts of its window together.
    :param by_list: it deleted by the list, which walks through nothing.
    """

    version: Literal[1] = 1
    run_id: str
    cluster_id: str | None = None
    ended_at: AwareDatetime | None = None
    orphaned_blobs: int | None = Field(default=None, ge=0)
    deleted_blobs: int | None = Field(default=None, ge=0)
    left_blobs: int | None = Field(default=None, ge=0)
    scan_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    delete_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    rollouts_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    by_list: bool = False

    @property
    def seconds_per_blob(self) -> float | None:
        """What a deleted blob cost beyond the walk through the storage; None if the run does not tell. A slice has
        walked about as much of the storage as it has deleted of the orphans. A delete by the list walks nothing."""
        if not self.deleted_blobs or self.deleted_blobs < FEWEST_DELETED_BLOBS or self.delete_seconds is None:
            return None
        if self.by_list:
            return self.delete_seconds / self.deleted_blobs
        if self.scan_seconds is None:
            return None
        share = min(self.deleted_blobs / (self.orphaned_blobs or self.deleted_blobs), 1.0)
        return max(0.0, self.delete_seconds - self.scan_seconds * share) / self.deleted_blobs


class History(Record):
    """The earlier runs of one cluster, the newest first."""

    version: Literal[1] = 1
    runs: tuple[PastRun, ...] = Field(default=(), max_length=KEPT_RUNS)

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """From what earlier runs left, the newest first. It leaves out what is no such record, or says nothing."""
        runs: list[PastRun] = []
        for value in values:
            try:
                run = PastRun.from_json(value)
            except ValidationError:
                continue
            if run.cluster_id is not None or run.orphaned_blobs is not None:
                runs.append(run)
        return cls(runs=tuple(runs[:KEPT_RUNS]))

    @property
    def median_orphans(self) -> float | None:
        """Of the blobs that earlier runs found; None if there are too few runs."""
        found = [run.orphaned_blobs for run in self.runs if run.orphaned_blobs is not None]
        return median(found) if len(found) >= FEWEST_RUNS else None

    def seconds_per_blob(self, *, by_list: bool = False) -> tuple[float, ...]:
        """What a deleted blob cost in each earlier delete of this kind, the newest first."""
        costs = (run.seconds_per_blob for run in self.runs if run.by_list is by_list)
        return tuple(cost for cost in costs if cost is not None)

    @property
    def rollouts_seconds(self) -> float | None:
        """Of both rollouts of a window together, the median; None if no run tells."""
        took = [run.rollouts_seconds for run in self.runs if run.rollouts_seconds is not None]
        return median(took) if took else None

    @property
    def left_blobs(self) -> int:
        """What the last delete left to the next run; 0: nothing, or there was none."""
        return next((run.left_blobs for run in self.runs if run.left_blobs is not None), 0)

    @property
    def slices(self) -> tuple[PastRun, ...]:
        """The slices since the last delete that came to its end, the newest first."""
        deletes = [run for run in self.runs if run.left_blobs is not None]
        return tuple(takewhile(lambda run: run.left_blobs, deletes))

    @property
    def images_seen_at(self) -> datetime | None:
        """The end of the newest run that had a verdict, which no run has without Images; None if no run tells."""
        return next((run.ended_at for run in self.runs if run.ended_at and run.orphaned_blobs is not None), None)

    @property
    def cluster_id(self) -> str | None:
        """The cluster that the newest earlier run worked with; None if that is not known."""
        return next((run.cluster_id for run in self.runs if run.cluster_id), None)
