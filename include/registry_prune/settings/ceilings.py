"""What of a run's findings is more than can be believed (pure)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.registry_prune.settings.parameters import WHOLE_NUMBER, StrictModel
from include.registry_prune.verdict.evidence import CeilingLimits


class CeilingSettings(StrictModel):
    """A run whose findings are implausibly large stops, and a person has to say that they are right.

    Here each ceiling is set for good; one run passes one by naming it in its parameter ``pass_ceilings``.
    """

    orphan_share: float = Field(default=0.8, gt=0, le=1, allow_inf_nan=False)
    """A run stops if more than this share of all blobs are orphans; 1: never. Accidents that look like garbage (Images
    lost, the wrong storage) come near 1; a registry with many pushes that was never hard-pruned was seen at 0.7."""

    removed_repositories: Annotated[int, Field(ge=0), WHOLE_NUMBER] = 25
    """A run stops if it would remove more repositories than this because their image streams are gone. Few clusters
    lose more than 25 projects between two runs; an outage in which image streams are not found loses them all. A
    cluster whose CI makes a project for each build needs more."""

    earlier_runs: float = Field(default=10.0, ge=1, allow_inf_nan=False)
    """A run stops if it finds more than this many times the orphans of earlier runs (the median of the last 20; it
    counts from 3 runs on). A release day doubles or trebles the garbage; ten times as much has a cause that somebody
    should know."""

    untyped_images: Annotated[int, Field(ge=0), WHOLE_NUMBER] = 0
    """A run stops if more Images than this have an empty `dockerImageManifestMediaType` or no config digest: the pruner
    deletes the config of each that is stored here. The message has the command that repairs each."""

    @property
    def limits(self) -> CeilingLimits:
        """As the decision takes them."""
        return CeilingLimits(
            orphan_share=self.orphan_share,
            removed_repositories=self.removed_repositories,
            earlier_runs=self.earlier_runs,
            untyped_images=self.untyped_images,
        )
