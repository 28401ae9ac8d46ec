"""When a survey's list may stand for the dry run inside the window: age, Images, and the registry but for its mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.cluster.registry_state import READ_ONLY_ENVIRONMENT
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.verdict.references import audit
from include.registry_prune.verdict.survey_basis import CLOCK_DIFFERENCE, SurveyBasis

BEGAN = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
READ_ONLY = {"name": READ_ONLY_ENVIRONMENT, "value": "{enabled: true}"}
LASTS = timedelta(minutes=10)


def image(name: int, created: datetime = BEGAN - timedelta(days=1)) -> dict[str, Any]:
    return {"metadata": {"name": f"sha256:{name:064x}", "creationTimestamp": created.isoformat()}}


IMAGES = [image(number) for number in range(3)]


def deployment(*environment: dict[str, str], image: str = "registry@sha256:1") -> dict[str, Any]:
    container = {"name": "registry", "image": image, "env": [{"name": "STORAGE", "value": "s3"}, *environment]}
    return {
        "spec": {"replicas": 2, "template": {"spec": {"serviceAccountName": "registry", "containers": [container]}}}
    }


BASIS = SurveyBasis.of(IMAGES, deployment(), began_at=BEGAN)


def reasons(minutes: int = 1, registry: dict[str, Any] | None = None) -> list[str]:
    return BASIS.reasons_against(registry or deployment(), now=BEGAN + timedelta(minutes=minutes), lasts=LASTS)


@pytest.mark.parametrize("mode", [(), (READ_ONLY,)])
def test_a_registry_that_is_the_same_but_for_its_mode_lets_the_survey_stand(mode: tuple[dict[str, str], ...]) -> None:
    assert reasons(10, deployment(*mode)) == []


@pytest.mark.parametrize(("minutes", "words"), [(11, "11 min"), (-1, "allows 10 min")])
def test_a_survey_that_began_too_long_ago_or_by_its_clock_later_does_not_stand(minutes: int, words: str) -> None:
    (reason,) = reasons(minutes)
    assert words in reason


@pytest.mark.parametrize(
    "registry", [deployment(image="registry@sha256:2"), deployment({"name": "BUCKET", "value": "another"})]
)
def test_another_pruner_or_another_storage_speaks_against_the_survey(registry: dict[str, Any]) -> None:
    (reason,) = reasons(registry=registry)
    assert "Deployment image-registry" in reason


def reason_of(images: list[dict[str, Any]]) -> str | None:
    return BASIS.reason_of_images(audit((), images, older_than=BASIS.older_than).older_images)


def test_images_that_were_deleted_since_speak_against_the_survey() -> None:
    """Guards the number of Images: what only they named is garbage that no list has. Pushes since hide nothing."""
    pushed = image(9, BEGAN + timedelta(minutes=1))
    assert reason_of([*IMAGES, pushed]) is None
    assert "1 Image that it knew were deleted since" in str(reason_of([*IMAGES[1:], pushed]))
    assert "3 Images" in str(reason_of([]))


def test_an_image_of_the_last_minutes_counts_as_young_at_both_times() -> None:
    """Guards one line between old and young: another one at the second look would find Images gone, or more."""
    at_the_edge = [image(7, BEGAN - CLOCK_DIFFERENCE), image(8, BEGAN - CLOCK_DIFFERENCE - timedelta(seconds=1))]
    basis = SurveyBasis.of([*IMAGES, *at_the_edge], deployment(), began_at=BEGAN)
    assert basis.older_images == 4
    assert audit((), [*IMAGES, *at_the_edge], older_than=basis.older_than).older_images == 4


def test_by_default_the_survey_stands_for_the_dry_run() -> None:
    assert ClusterSettings().dry_run_in_window == "if_needed"
