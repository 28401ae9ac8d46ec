"""No candidate may be a digest that an Image names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.dockerregistry import LineKind, understand
from include.registry_prune.references import KEPT_HITS, ReferenceAudit, audit, named_digests

TRANSCRIPT = Path(__file__).parents[1] / "transcripts" / "91-multiarch-check"


def image(name: str, **fields: Any) -> dict[str, Any]:
    reference = f"image-registry.openshift-image-registry.svc:5000/ns/app@{name}"
    return {"metadata": {"name": name}, "dockerImageReference": reference, **fields}


SCHEMA_2 = image(
    "sha256:manifest2",
    dockerImageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
    dockerImageMetadata={"kind": "DockerImage", "Id": "sha256:config2", "Architecture": "amd64"},
    dockerImageLayers=[{"name": "sha256:base", "size": 10}, {"name": "sha256:layer2", "size": 20}],
)
OCI = image(
    "sha256:manifest-oci",
    dockerImageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
    dockerImageMetadata={"Id": "sha256:config-oci"},
    dockerImageLayers=[{"name": "sha256:base"}, {"name": "sha256:layer-oci"}],
)
INDEX = image(
    "sha256:index",
    dockerImageManifestMediaType="application/vnd.oci.image.index.v1+json",
    dockerImageMetadata={"kind": "DockerImage", "Id": ""},
    dockerImageLayers=[],
    dockerImageManifests=[
        {"digest": "sha256:amd64", "architecture": "amd64"},
        {"digest": "sha256:arm64", "architecture": "arm64"},
    ],
)


@pytest.mark.parametrize(
    ("an_image", "named"),
    [
        (
            SCHEMA_2,
            [
                ("sha256:manifest2", "manifest"),
                ("sha256:config2", "config"),
                ("sha256:base", "layer"),
                ("sha256:layer2", "layer"),
            ],
        ),
        (
            OCI,
            [
                ("sha256:manifest-oci", "manifest"),
                ("sha256:config-oci", "config"),
                ("sha256:base", "layer"),
                ("sha256:layer-oci", "layer"),
            ],
        ),
        (
            INDEX,
            [
                ("sha256:index", "manifest"),
                ("sha256:amd64", "child manifest"),
                ("sha256:arm64", "child manifest"),
            ],
        ),
        ({"metadata": {"name": "sha256:bare"}}, [("sha256:bare", "manifest")]),
        (
            image("sha256:nulls", dockerImageMetadata=None, dockerImageLayers=None, dockerImageManifests=None),
            [("sha256:nulls", "manifest")],
        ),
        (
            image("sha256:empty", dockerImageMetadata={}, dockerImageLayers=[{}], dockerImageManifests=[{}]),
            [("sha256:empty", "manifest")],
        ),
        (
            image("sha256:null-values", dockerImageMetadata={"Id": None}, dockerImageLayers=[{"name": None}]),
            [("sha256:null-values", "manifest")],
        ),
    ],
    ids=["schema 2", "OCI", "list", "fields missing", "fields null", "fields empty", "values null"],
)
def test_every_digest_that_an_image_names(an_image: dict[str, Any], named: list[tuple[str, str]]) -> None:
    assert list(named_digests(an_image)) == named


def test_candidates_that_nobody_names_are_fine() -> None:
    result = audit({"sha256:orphan", "sha256:other"}, [SCHEMA_2, OCI, INDEX])
    assert result == ReferenceAudit(candidates=2, images=3)
    assert result.problems() == []


@pytest.mark.parametrize(
    ("digest", "role", "name"),
    [
        ("sha256:manifest2", "manifest", "sha256:manifest2"),
        ("sha256:config-oci", "config", "sha256:manifest-oci"),
        ("sha256:layer2", "layer", "sha256:manifest2"),
        ("sha256:arm64", "child manifest", "sha256:index"),
    ],
)
def test_a_named_candidate_is_reported_with_its_image_and_what_to_do(digest: str, role: str, name: str) -> None:
    result = audit({"sha256:orphan", digest}, iter([SCHEMA_2, OCI, INDEX]))
    assert result.hit_count == 1
    summary, hit = result.problems()
    assert "1 candidate of the dry run would go although an Image names it" in summary
    assert f"{digest} is the {role} of Image {name} (image-registry." in hit
    assert "import or push that image again" in hit


def test_a_blob_that_two_images_share_counts_once() -> None:
    result = audit({"sha256:base"}, [SCHEMA_2, OCI])
    assert (result.hit_count, len(result.hits)) == (1, 1)


def test_all_hits_are_counted_but_only_some_are_named() -> None:
    images = [image(f"sha256:{number}") for number in range(KEPT_HITS + 7)]
    result = audit({f"sha256:{number}" for number in range(KEPT_HITS + 7)}, images)
    assert result.hit_count == KEPT_HITS + 7
    assert len(result.hits) == KEPT_HITS
    assert len(result.problems()) == KEPT_HITS + 1


def test_an_image_without_a_reference_is_named_all_the_same() -> None:
    result = audit({"sha256:bare"}, [{"metadata": {"name": "sha256:bare"}}])
    assert result.hits[0].reference == "no reference"


@given(
    candidates=st.sets(st.sampled_from("abcdefgh")),
    layers=st.lists(st.lists(st.sampled_from("efghijkl"), max_size=4), max_size=5),
)
def test_the_hits_are_exactly_the_candidates_that_are_named(candidates: set[str], layers: list[list[str]]) -> None:
    images = [
        image(f"image {number}", dockerImageLayers=[{"name": name} for name in names])
        for number, names in enumerate(layers)
    ]
    result = audit(candidates, images)
    named = {name for names in layers for name in names}
    assert {hit.digest for hit in result.hits} == candidates & named
    assert (result.candidates, result.images) == (len(candidates), len(layers))


def test_the_config_that_the_real_pruner_was_seen_to_delete_is_found() -> None:
    lines = (TRANSCRIPT / "stderr").read_text(encoding="utf-8").splitlines()
    candidates = {line.subject for line in map(understand, lines) if line.kind is LineKind.BLOB}
    manifests = json.loads((TRANSCRIPT / "images.json").read_text(encoding="utf-8"))
    images = [
        image(
            manifests[kind][0],
            dockerImageMetadata={"Id": manifests[kind][2]},
            dockerImageLayers=[{"name": manifests[kind][3]}],
        )
        for kind in ("amd64", "arm64", "oci", "emptytype")
    ]
    result = audit(candidates, images)
    assert [(hit.digest, hit.role, hit.image) for hit in result.hits] == [
        (manifests["emptytype"][2], "config", manifests["emptytype"][0])
    ]
