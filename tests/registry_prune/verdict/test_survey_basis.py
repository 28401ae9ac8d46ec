"""When a survey may stand for the dry run inside the window: age, Images, and the registry but for its mode."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.cluster.registry_state import READ_ONLY_ENVIRONMENT
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.verdict.survey_basis import SurveyBasis

BEGAN = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
IMAGES = [{"metadata": {"name": f"sha256:{number}", "resourceVersion": str(number)}} for number in range(3)]
READ_ONLY = {"name": READ_ONLY_ENVIRONMENT, "value": "{enabled: true}"}


def deployment(*environment: dict[str, str], image: str = "registry@sha256:1") -> dict[str, Any]:
    container = {"name": "registry", "image": image, "env": [{"name": "STORAGE", "value": "s3"}, *environment]}
    return {
        "spec": {"replicas": 2, "template": {"spec": {"serviceAccountName": "registry", "containers": [container]}}}
    }


def basis(minutes: int = 0, images: Any = IMAGES, registry: Any = None) -> SurveyBasis:
    return SurveyBasis.of(images, registry or deployment(), began_at=BEGAN + timedelta(minutes=minutes))


def written(change: str) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = deepcopy(IMAGES)
    match change:
        case "made":
            images.append({"metadata": {"name": "sha256:new", "resourceVersion": "9"}})
        case "deleted":
            del images[1]
        case "changed":
            images[1]["metadata"]["resourceVersion"] = "9"
    return images


@pytest.mark.parametrize("mode", [(), (READ_ONLY,)])
def test_a_registry_that_is_the_same_but_for_its_mode_lets_the_survey_stand(mode: tuple[dict[str, str], ...]) -> None:
    now = basis(minutes=10, registry=deployment(*mode))
    assert basis().reasons_against(now, longest=timedelta(minutes=10)) == []


@pytest.mark.parametrize(("minutes", "words"), [(11, "11 min"), (-1, "allows 10 min")])
def test_a_survey_that_began_too_long_ago_or_by_its_clock_later_does_not_stand(minutes: int, words: str) -> None:
    (reason,) = basis().reasons_against(basis(minutes), longest=timedelta(minutes=10))
    assert words in reason


@pytest.mark.parametrize("change", ["made", "deleted", "changed"])
def test_any_write_to_an_image_speaks_against_the_survey(change: str) -> None:
    (reason,) = basis().reasons_against(basis(1, images=written(change)), longest=timedelta(minutes=10))
    assert "Images were made, changed or deleted" in reason


@pytest.mark.parametrize(
    "registry", [deployment(image="registry@sha256:2"), deployment({"name": "BUCKET", "value": "another"})]
)
def test_another_pruner_or_another_storage_speaks_against_the_survey(registry: dict[str, Any]) -> None:
    (reason,) = basis().reasons_against(basis(1, registry=registry), longest=timedelta(minutes=10))
    assert "Deployment image-registry" in reason


def test_by_default_no_survey_stands_for_the_dry_run() -> None:
    assert ClusterSettings().seconds("survey_stands_for") == 0
