"""What a survey was made on, and whether its list may stand for the dry run inside the window (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime

from include.registry_prune.cluster.registry_state import READ_ONLY_ENVIRONMENT
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_seconds
from include.registry_prune.verdict.references import is_young

BASIS = "basis"
"""The XCom in which ``survey`` notes what it was made on, before it begins."""
CLOCK_DIFFERENCE = timedelta(minutes=5)
"""The cluster's clock and Airflow's differ by less than this."""


class SurveyBasis(Record):
    """What the pruner's findings depend on, as far as the cluster's API shows it, right before a survey.

    :param began_at: when, by Airflow's clock.
    :param older_images: Images that were there then.
    :param registry: the registry's pods but for their mode, as a fingerprint: the pruner's version, its storage and its
        account.
    """

    version: Literal[2] = 2
    began_at: AwareDatetime
    older_images: int
    registry: str

    @classmethod
    def of(
        cls, images: Iterable[Mapping[str, Any]], deployment: Mapping[str, Any], *, began_at: datetime
    ) -> SurveyBasis:
        """From the cluster's objects.

        :param images: all of them; read once.
        :param deployment: the registry's Deployment, in either mode.
        """
        older = sum(not is_young(image, began_at - CLOCK_DIFFERENCE) for image in images)
        return cls(began_at=began_at, older_images=older, registry=registry_fingerprint(deployment))

    @property
    def older_than(self) -> datetime:
        """What was made before this was there when the survey began, whatever the clocks; what was made later may have
        come meanwhile."""
        return self.began_at - CLOCK_DIFFERENCE

    def reasons_against(self, deployment: Mapping[str, Any], *, now: datetime, lasts: timedelta) -> list[str]:
        """Why a survey with this basis does not stand for a dry run now; an empty list: ask the Images, too.

        :param deployment: the registry's Deployment, as it is now.
        :param lasts: how long ago it may have begun.
        """
        age = now - self.began_at
        reasons = []
        if not timedelta(0) <= age <= lasts:
            began, limit = format_seconds(age.total_seconds()), format_seconds(lasts.total_seconds())
            reasons.append(f"it began {began} ago, and the setting survey_lasts allows {limit}")
        if self.registry != registry_fingerprint(deployment):
            reasons.append(f"Deployment {DEPLOYMENT} was changed since it began, and not in its mode alone")
        return reasons

    def reason_of_images(self, older_images: int) -> str | None:
        """Why it does not stand, by the Images that were there when it began; None: nothing speaks against it.

        What only they named is garbage by now that no list has: a base prune of somebody else, or an etcd that was
        restored from a backup.

        :param older_images: how many there are now.
        """
        gone = self.older_images - older_images
        return f"{format_count(gone, 'Image')} that it knew were deleted since" if gone > 0 else None


def registry_fingerprint(deployment: Mapping[str, Any]) -> str:
    """Fingerprint of the pod template; the variable that makes the registry read-only is left out."""
    spec = dict(deployment["spec"]["template"]["spec"])
    spec["containers"] = [
        {**container, "env": [each for each in container.get("env") or () if each["name"] != READ_ONLY_ENVIRONMENT]}
        for container in spec["containers"]
    ]
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
