"""No candidate may be a digest that an Image names."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.output import understand
from include.registry_prune.verdict.references import (
    KEPT_HITS,
    KEPT_TAGS,
    MalformedObjectError,
    ReferenceAudit,
    StreamAudit,
    audit,
    audit_streams,
    digest_bytes,
    named_digests,
)


def digest(name: str) -> str:
    """A digest that is easy to name."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def packed(*names: str) -> set[bytes]:
    """Candidates."""
    return {hashlib.sha256(name.encode()).digest() for name in names}


TRANSCRIPT = Path(__file__).parents[2] / "transcripts" / "91-multiarch-check"


def image(name: str, **fields: Any) -> dict[str, Any]:
    reference = f"image-registry.openshift-image-registry.svc:5000/ns/app@{name}"
    return {"metadata": {"name": name}, "dockerImageReference": reference, **fields}


def created(moment: str, name: str) -> dict[str, Any]:
    """An Image of that age."""
    return image(digest(name)) | {"metadata": {"name": digest(name), "creationTimestamp": moment}}


PUSHED = {"metadata": {"name": "no digest", "annotations": {"openshift.io/image.managed": "true"}}}
SCHEMA_2 = image(
    digest("manifest2"),
    dockerImageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
    dockerImageMetadata={"kind": "DockerImage", "Id": digest("config2"), "Architecture": "amd64"},
    dockerImageLayers=[{"name": digest("base"), "size": 10}, {"name": digest("layer2"), "size": 20}],
)
OCI = image(
    digest("manifest-oci"),
    dockerImageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
    dockerImageMetadata={"Id": digest("config-oci")},
    dockerImageLayers=[{"name": digest("base")}, {"name": digest("layer-oci")}],
)
INDEX = image(
    digest("index"),
    dockerImageManifestMediaType="application/vnd.oci.image.index.v1+json",
    dockerImageMetadata={"kind": "DockerImage", "Id": ""},
    dockerImageLayers=[],
    dockerImageManifests=[
        {"digest": digest("amd64"), "architecture": "amd64"},
        {"digest": digest("arm64"), "architecture": "arm64"},
    ],
)


@pytest.mark.parametrize(
    ("an_image", "named"),
    [
        (
            SCHEMA_2,
            [
                (digest("manifest2"), "manifest"),
                (digest("config2"), "config"),
                (digest("base"), "layer"),
                (digest("layer2"), "layer"),
            ],
        ),
        (
            OCI,
            [
                (digest("manifest-oci"), "manifest"),
                (digest("config-oci"), "config"),
                (digest("base"), "layer"),
                (digest("layer-oci"), "layer"),
            ],
        ),
        (
            INDEX,
            [
                (digest("index"), "manifest"),
                (digest("amd64"), "child manifest"),
                (digest("arm64"), "child manifest"),
            ],
        ),
        ({"metadata": {"name": digest("bare")}}, [(digest("bare"), "manifest")]),
        (
            image(digest("nulls"), dockerImageMetadata=None, dockerImageLayers=None, dockerImageManifests=None),
            [(digest("nulls"), "manifest")],
        ),
        (
            image(digest("empty"), dockerImageMetadata={}, dockerImageLayers=[{}], dockerImageManifests=[{}]),
            [(digest("empty"), "manifest")],
        ),
        (
            image(digest("null-values"), dockerImageMetadata={"Id": None}, dockerImageLayers=[{"name": None}]),
            [(digest("null-values"), "manifest")],
        ),
    ],
    ids=["schema 2", "OCI", "list", "fields missing", "fields null", "fields empty", "values null"],
)
def test_every_digest_that_an_image_names(an_image: dict[str, Any], named: list[tuple[str, str]]) -> None:
    assert list(named_digests(an_image)) == named


def test_candidates_that_nobody_names_are_fine() -> None:
    assert audit(packed("orphan", "other"), [SCHEMA_2, OCI, INDEX]) == ReferenceAudit(
        candidates=2, images=3, older_images=3
    )


@pytest.mark.parametrize(
    ("candidate", "role", "name"),
    [
        ("manifest2", "manifest", "manifest2"),
        ("config-oci", "config", "manifest-oci"),
        ("layer2", "layer", "manifest2"),
        ("arm64", "child manifest", "index"),
    ],
)
def test_a_named_candidate_is_reported_with_its_image_and_what_to_do(candidate: str, role: str, name: str) -> None:
    result = audit(packed("orphan", candidate), iter([SCHEMA_2, OCI, INDEX]))
    (hit,) = result.with_tags({digest(name): ("ns/app:v1", "ns/app:latest")}).hits
    assert result.hit_count == 1
    assert hit.text().startswith(
        f"{digest(candidate)} is the {role} of Image {digest(name)} (tags ns/app:v1, ns/app:latest; image-registry."
    )
    assert "push or import that image again" in hit.text()


def test_a_blob_that_two_images_share_counts_once() -> None:
    result = audit(packed("base"), [SCHEMA_2, OCI])
    assert (result.hit_count, len(result.hits)) == (1, 1)


def test_all_hits_are_counted_but_only_some_are_named() -> None:
    names = [str(number) for number in range(KEPT_HITS + 7)]
    result = audit(packed(*names), [image(digest(name)) for name in names])
    assert (result.hit_count, len(result.hits)) == (KEPT_HITS + 7, KEPT_HITS)
    assert (result.untyped_count, len(result.untyped)) == (KEPT_HITS + 7, KEPT_HITS)


@pytest.mark.parametrize("whole", [SCHEMA_2, OCI])
@pytest.mark.parametrize("metadata", [None, {}, {"kind": "DockerImage", "Id": ""}])
def test_an_image_that_names_no_config_counts_with_those_of_no_media_type(
    whole: dict[str, Any], metadata: dict[str, Any] | None
) -> None:
    """Guards its config blob: to the pruner it is an orphan, and an audit of what Images name cannot see that."""
    assert audit(set(), [whole, INDEX]).untyped_count == 0
    result = audit(set(), [whole | {"dockerImageMetadata": metadata}, INDEX])
    assert (result.untyped_count, [each.name for each in result.untyped]) == (1, [whole["metadata"]["name"]])


def test_an_image_without_a_reference_is_named_all_the_same() -> None:
    result = audit(packed("bare"), [{"metadata": {"name": digest("bare")}}])
    assert result.hits[0].image.reference == "no reference"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (digest("a"), hashlib.sha256(b"a").digest()),
        (digest("a").removeprefix("sha256:"), hashlib.sha256(b"a").digest()),
        (digest("a").upper().replace("SHA", "sha"), hashlib.sha256(b"a").digest()),
        ("sha512:" + "ab" * 64, None),
        ("sha256:" + "ab" * 31, None),
        ("sha256:" + "ab" * 31 + "xy", None),
        ("sha256:" + " a" * 32, None),
        ("md5:" + "ab" * 32, None),
        ("", None),
    ],
)
def test_what_is_a_digest(name: str, value: bytes | None) -> None:
    assert digest_bytes(name) == value


@given(
    candidates=st.sets(st.sampled_from("abcdefgh")),
    layers=st.lists(st.lists(st.sampled_from("efghijkl"), max_size=4), max_size=5),
)
def test_the_hits_are_exactly_the_candidates_that_are_named(candidates: set[str], layers: list[list[str]]) -> None:
    images = [
        image(f"image {number}", dockerImageLayers=[{"name": digest(name)} for name in names], **PUSHED)
        for number, names in enumerate(layers)
    ]
    result = audit(packed(*candidates), images)
    named = {name for names in layers for name in names}
    assert {hit.digest for hit in result.hits} == {digest(name) for name in candidates & named}
    assert (result.candidates, result.images) == (len(candidates), len(layers))
    assert result.stored_references == len(named)


def test_only_what_was_pushed_to_this_registry_counts_as_stored() -> None:
    assert audit(set(), [SCHEMA_2, OCI]).stored_references == 0
    assert audit(set(), [SCHEMA_2 | PUSHED, OCI]).stored_references == 3, "config and two layers; its name is no digest"


def test_images_newer_than_the_dry_run_are_no_contradiction_while_pushes_are_taken() -> None:
    old, young = created("2026-01-01T00:00:00Z", "old"), created("2026-01-02T00:00:00Z", "young")
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    result = audit(packed("old", "young"), [old, young], older_than=began)
    assert [hit.digest for hit in result.hits] == [digest("old")]
    assert result.hit_count == 1
    assert audit(packed("old", "young"), [old, young]).hit_count == 2


@pytest.mark.parametrize("lacks", ["dockerImageManifestMediaType", "dockerImageMetadata"])
def test_a_young_image_whose_config_nobody_can_know_is_counted_all_the_same(lacks: str) -> None:
    """Guards its config blob: being young excuses what an Image names, and such a one does not name it."""
    young = SCHEMA_2 | {"metadata": {"name": digest("young"), "creationTimestamp": "2026-01-02T00:00:00Z"}}
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert audit(set(), [young], older_than=began).untyped_count == 0
    result = audit(set(), [young | {lacks: None}], older_than=began)
    assert (result.older_images, result.untyped_count) == (0, 1)
    assert [each.name for each in result.untyped] == [digest("young")]


def test_what_an_older_image_names_too_contradicts_the_dry_run() -> None:
    layer = {"dockerImageLayers": [{"name": digest("base")}]}
    images = [created("2026-01-02T00:00:00Z", "young") | layer, created("2026-01-01T00:00:00Z", "old") | layer]
    result = audit(packed("base"), images, older_than=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert result.hit_count == 1


DOCKER_LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
OCI_LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}


@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        ({}, "application/vnd.docker.distribution.manifest.v2+json"),
        ({"dockerImageLayers": [DOCKER_LAYER]}, "application/vnd.docker.distribution.manifest.v2+json"),
        ({"dockerImageLayers": [OCI_LAYER]}, "application/vnd.oci.image.manifest.v1+json"),
        (
            {"dockerImageManifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json"}]},
            "application/vnd.oci.image.index.v1+json",
        ),
        (
            {"dockerImageManifests": [{"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}]},
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ),
    ],
)
def test_the_command_that_repairs_an_image_without_a_media_type(fields: dict[str, Any], media_type: str) -> None:
    named = {"dockerImageMetadata": {"Id": digest("config")}, "dockerImageManifestMediaType": ""}
    result = audit(packed("config"), [image(digest("a")) | named | fields])
    command = f'oc patch image {digest("a")} --type=merge -p \'{{"dockerImageManifestMediaType":"{media_type}"}}\''
    assert result.untyped[0].repair == command
    assert command in result.hits[0].text()


def test_a_name_in_that_command_is_quoted() -> None:
    assert "oc patch image '$(reboot)' " in audit(set(), [image("$(reboot)")]).untyped[0].repair


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"name": 1}},
        image(digest("a"), dockerImageLayers=["sha256:no-object"]),
        image(digest("a"), dockerImageLayers=[{"name": 5}]),
        image(digest("a"), dockerImageMetadata="no object"),
        image(digest("a"), dockerImageManifests=3),
    ],
)
def test_an_image_that_cannot_be_read_is_an_error(malformed: dict[str, Any]) -> None:
    with pytest.raises(MalformedObjectError, match="nobody knows what it names"):
        audit(packed("a"), [SCHEMA_2, malformed])


def test_an_image_without_a_time_is_an_error_where_time_matters() -> None:
    with pytest.raises(MalformedObjectError):
        audit(set(), [SCHEMA_2], older_than=datetime(2026, 1, 1, tzinfo=UTC))


def stream(name: str, **tags: list[str]) -> dict[str, Any]:
    status = [{"tag": tag, "items": [{"image": each} for each in images]} for tag, images in tags.items()]
    return {"metadata": {"namespace": "ns", "name": name}, "status": {"tags": status}}


def test_repositories_are_held_against_the_image_streams() -> None:
    result = audit_streams({"ns/gone", "ns/app", "other/app"}, iter([stream("app"), stream("mailer")]))
    assert result == StreamAudit(
        repositories=3, shown=("ns/app", "ns/gone", "other/app"), in_use=("ns/app",), in_use_count=1
    )


def test_the_tags_of_the_images_that_are_asked_for() -> None:
    many = {f"t{number}": ["sha256:a"] for number in range(KEPT_TAGS + 2)}
    result = audit_streams(
        set(), [stream("app", v1=["sha256:a", "sha256:b"]), stream("old", **many)], images={"sha256:a"}
    )
    assert list(result.tags) == ["sha256:a"]
    assert result.tags["sha256:a"][:2] == ("ns/app:v1", "ns/old:t0")
    assert len(result.tags["sha256:a"]) == KEPT_TAGS


@pytest.mark.parametrize("fields", [{}, {"status": None}, {"status": {}}, {"status": {"tags": [{"tag": "v1"}]}}])
def test_a_stream_without_images_is_a_stream(fields: dict[str, Any]) -> None:
    assert audit_streams({"ns/app"}, [{"metadata": {"namespace": "ns", "name": "app"}} | fields]).in_use_count == 1


@pytest.mark.parametrize("malformed", [{}, {"metadata": {"name": "app"}}, stream("app") | {"status": "no object"}])
def test_a_stream_that_cannot_be_read_is_an_error(malformed: dict[str, Any]) -> None:
    with pytest.raises(MalformedObjectError, match="ImageStream"):
        audit_streams(set(), [malformed])


def test_the_config_that_the_real_pruner_was_seen_to_delete_is_found() -> None:
    lines = (TRANSCRIPT / "stderr").read_text(encoding="utf-8").splitlines()
    understood = [line.subject for line in map(understand, lines) if line.kind is LineKind.BLOB]
    candidates = {value for value in map(digest_bytes, understood) if value}
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
    assert len(candidates) == len(understood)
    assert [(hit.digest, hit.role, hit.image.name) for hit in result.hits] == [
        (manifests["emptytype"][2], "config", manifests["emptytype"][0])
    ]
