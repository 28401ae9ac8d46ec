"""What a survey was made on, and whether it may still stand for the dry run inside the window (pure)."""

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
from include.registry_prune.units import format_seconds

BASIS = "basis"
"""The XCom in which ``survey`` notes what it was made on, before it begins."""


class SurveyBasis(Record):
    """What the pruner's findings depend on, as far as the cluster's API shows it, right before a survey.

    :param began_at: when.
    :param images: the Images, each by its name and resourceVersion, as one fingerprint.
    :param registry: the registry's pods but for their mode: the pruner's version, its storage and its account.
    """

    version: Literal[1] = 1
    began_at: AwareDatetime
    images: str
    registry: str

    @classmethod
    def of(
        cls, images: Iterable[Mapping[str, Any]], deployment: Mapping[str, Any], *, began_at: datetime
    ) -> SurveyBasis:
        """From the cluster's objects.

        :param images: all of them, in the API server's order.
        :param deployment: the registry's Deployment, in either mode.
        """
        digest = hashlib.sha256()
        for image in images:
            metadata = image["metadata"]
            digest.update(f"{metadata['name']} {metadata.get('resourceVersion')}\n".encode())
        return cls(began_at=began_at, images=digest.hexdigest(), registry=_without_mode(deployment))

    def reasons_against(self, now: SurveyBasis, *, longest: timedelta) -> list[str]:
        """Why a survey with this basis does not stand for a dry run now; an empty list: it does.

        :param longest: how long ago it may have begun.
        """
        age = now.began_at - self.began_at
        reasons = []
        if not timedelta(0) <= age <= longest:
            began, limit = format_seconds(age.total_seconds()), format_seconds(longest.total_seconds())
            reasons.append(f"it began {began} ago, and the setting survey_stands_for allows {limit}")
        if self.images != now.images:
            reasons.append("Images were made, changed or deleted since it began")
        if self.registry != now.registry:
            reasons.append(f"Deployment {DEPLOYMENT} was changed since it began, and not in its mode alone")
        return reasons


def _without_mode(deployment: Mapping[str, Any]) -> str:
    """Fingerprint of the pod template; the variable that makes the registry read-only is left out."""
    spec = dict(deployment["spec"]["template"]["spec"])
    spec["containers"] = [
        {**container, "env": [each for each in container.get("env") or () if each["name"] != READ_ONLY_ENVIRONMENT]}
        for container in spec["containers"]
    ]
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
