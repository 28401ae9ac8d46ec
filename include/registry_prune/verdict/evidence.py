"""What a verdict is given on: the dry run, the cluster, what was asked for, earlier runs (pure)."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.records import Record
from include.registry_prune.verdict.estimate import Estimate, WindowPlan, estimate_delete
from include.registry_prune.verdict.history import History
from include.registry_prune.verdict.references import ReferenceAudit, StreamAudit


class Stage(StrEnum):
    """Which gate asks: before the window (may it be opened?), or in it (may the delete begin?)."""

    SURVEY = "survey"
    DELETE = "delete"


class Mode(StrEnum):
    """``hard_prune`` of the trigger form: on the thresholds, without them, or not at all."""

    AUTO = "auto"
    FORCE = "force"
    NEVER = "never"


class Thresholds(Record):
    """As much garbage as makes a delete worth it: either of the two is enough.

    :param min_blobs: number of orphaned blobs.
    :param min_bytes: their size in bytes.
    """

    min_blobs: int = Field(ge=1)
    min_bytes: int = Field(ge=0)


class Ceiling(StrEnum):
    """What is more than can be believed. A person who has looked may let one run pass it, by this name."""

    ORPHAN_SHARE = "orphan_share"
    REMOVED_REPOSITORIES = "removed_repositories"
    EARLIER_RUNS = "earlier_runs"
    UNTYPED_IMAGES = "untyped_images"
    MISSING_STORAGE = "missing_storage"
    OTHER_CLUSTER = "other_cluster"
    RENEWED_IMAGES = "renewed_images"


class CeilingLimits(Record):
    """Where the ceilings are. ``settings/ceilings.py`` has the defaults and their reasons.

    :param orphan_share: of all blobs, 0 to 1.
    :param removed_repositories: at most this many may be removed.
    :param earlier_runs: at most this many times the median of earlier runs' orphans may be found.
    :param untyped_images: at most this many Images may lack a media type.
    """

    orphan_share: float = Field(gt=0, le=1)
    removed_repositories: int = Field(ge=0)
    earlier_runs: float = Field(ge=1, allow_inf_nan=False)
    untyped_images: int = Field(ge=0)


class Evidence(Record):
    """All that a verdict is given on.

    :param dry_run: of ``-prune=check``; None before the window if there was no survey.
    :param images: the cluster's Images, with the dry run's candidates held against them.
    :param streams: the repositories to be removed, held against the image streams.
    :param plan: what the window will hold beside the delete, and how long it may last.
    :param dry_run_only: the run was asked to delete nothing.
    :param passed: ceilings that a person lets this run pass.
    :param passed_by: who that is.
    :param server: URL of the API server; ``cluster_id``: which cluster that is, empty if it does not say.
    :raises pydantic.ValidationError: if the parts cannot belong together: there is no verdict on such evidence.
    """

    version: Literal[1] = 1
    stage: Stage
    mode: Mode
    thresholds: Thresholds
    limits: CeilingLimits
    dry_run: PrunerResult | None
    images: ReferenceAudit
    streams: StreamAudit = StreamAudit(repositories=0)
    plan: WindowPlan = WindowPlan()
    dry_run_only: bool = False
    passed: tuple[Ceiling, ...] = ()
    passed_by: str = ""
    server: str = ""
    cluster_id: str = ""
    history: History = History()

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        run = self.dry_run
        if run is None:
            if self.stage is Stage.DELETE:
                raise ValueError("there is no dry run to judge")
            return self
        if run.mode != "check":
            raise ValueError(f"the result of a {run.mode} is no dry run")
        said = (run.said.blobs, run.said.rounded_bytes) if run.said else ()
        counted = (run.counted_blobs, run.counted_manifest_links, run.counted_repositories)
        if any(number < 0 for number in (*said, *counted)):
            raise ValueError(f"the dry run has a negative number: said {said}, counted {counted}")
        if not 0 <= run.seconds < math.inf:
            raise ValueError(f"the dry run cannot have taken {run.seconds} seconds")
        return self

    @property
    def stored_blobs(self) -> int:
        """Blobs in the storage as far as can be known without another scan: the orphans, and what pushed Images name.

        Blobs that only images of other registries name (mirrored by pull-through) are not among them, because most of
        those are not stored here at all. So the share of orphans is rather taken too high than too low.
        """
        orphans = self.dry_run.said.blobs if self.dry_run and self.dry_run.said else 0
        return orphans + self.images.stored_references

    @property
    def estimate(self) -> Estimate | None:
        """How long the delete will take; None without a complete dry run."""
        if self.dry_run is None or self.dry_run.said is None or not self.dry_run.complete:
            return None
        return estimate_delete(
            orphaned_blobs=self.dry_run.orphans or 0,
            stored_blobs=self.stored_blobs,
            scan_seconds=self.dry_run.seconds,
            plan=self.plan,
            history=self.history,
        )
