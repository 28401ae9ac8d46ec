"""A push makes the objects that OpenShift's registry makes, and what was pushed stays whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.real_registry.pusher import SmallImage, push
from sandbox.registry.seed.seed import SeedPlan
from sandbox.registry.storage import media_types
from sandbox.registry.storage.digests import digest_of
from tests.sandbox.cluster_tools import eventually
from tests.sandbox.real_registry.registry_tools import (
    IMAGES,
    Skopeo,
    grant,
    hard_prune,
    has_image,
    has_layer,
    kubectl,
    needs_registry,
    needs_skopeo,
    pushed,
    pushed_list,
    revisions,
    revoke,
)

pytestmark = needs_registry

REPOSITORY = "shop/frontend"


def test_a_push_makes_image_and_image_stream(sandbox: Sandbox, address: str) -> None:
    image = pushed(sandbox, address, REPOSITORY, "latest")
    found = sandbox.get_object(IMAGES, image.digest)
    assert found["dockerImageManifestMediaType"] == media_types.DOCKER_MANIFEST
    assert found["dockerImageMetadata"]["Id"] == digest_of(image.config)
    assert [layer["name"] for layer in found["dockerImageLayers"]] == [digest_of(image.layer)]
    assert revisions(sandbox, REPOSITORY) == {"latest": [image.digest]}
    report = sandbox.verify()
    assert (report.ok, report.images_checked, report.orphans_left) == (True, 1, 0), report.problems


def test_the_newest_revision_of_a_tag_is_on_top(sandbox: Sandbox, address: str) -> None:
    first, second = (pushed(sandbox, address, REPOSITORY, "latest") for _ in range(2))
    other = pushed(sandbox, address, REPOSITORY, "stable")
    assert revisions(sandbox, REPOSITORY) == {"latest": [second.digest, first.digest], "stable": [other.digest]}
    assert push(address, REPOSITORY, "latest", second) == 201
    assert push(address, REPOSITORY, "latest", first) == 201
    again = [first.digest, second.digest, first.digest]
    eventually(lambda: revisions(sandbox, REPOSITORY)["latest"] == again, "the first is on top again, once")


def test_a_list_has_an_image_for_each_architecture(sandbox: Sandbox, address: str) -> None:
    digest = pushed_list(sandbox, address, REPOSITORY, "latest")
    children = sandbox.get_object(IMAGES, digest)["dockerImageManifests"]
    assert [child["architecture"] for child in children] == ["amd64", "arm64"]
    assert all(has_image(sandbox, child["digest"]) for child in children)
    assert revisions(sandbox, REPOSITORY) == {"latest": [digest]}
    report = sandbox.verify()
    assert (report.ok, report.images_checked, report.orphans_left) == (True, 3, 0), report.problems


def test_a_name_that_openshift_refuses_gets_no_objects(sandbox: Sandbox, address: str) -> None:
    image = SmallImage.make()
    assert push(address, "no/such/depth", "latest", image) == 201
    pushed(sandbox, address, REPOSITORY, "latest")
    assert not has_image(sandbox, image.digest)


def test_what_a_pod_accepted_and_did_not_report_is_known_when_it_is_gone(sandbox: Sandbox) -> None:
    sandbox.call(
        lambda cluster: setattr(cast(Any, cluster.registries).notifications, "authorization", "Bearer of nothing")
    )
    pod, address = next(iter(sandbox.registry_addresses().items()))
    tagged, loose = SmallImage.make(), SmallImage.make()
    assert push(address, REPOSITORY, "v1", tagged) == 201
    assert push(address, REPOSITORY, loose.digest, loose) == 201
    assert not has_image(sandbox, tagged.digest)
    kubectl(sandbox, "delete", "pod", pod)
    assert has_image(sandbox, tagged.digest)
    assert has_image(sandbox, loose.digest)
    assert revisions(sandbox, REPOSITORY) == {"v1": [tagged.digest]}


@needs_skopeo
@pytest.mark.parametrize(
    ("manifest_format", "media_type"), [("v2s2", media_types.DOCKER_MANIFEST), ("oci", media_types.OCI_MANIFEST)]
)
def test_skopeo_pushes_and_pulls(
    sandbox: Sandbox, address: str, skopeo: Skopeo, tmp_path: Path, manifest_format: str, media_type: str
) -> None:
    pushed(sandbox, address, REPOSITORY, "latest")
    skopeo.copy(f"docker://{address}/{REPOSITORY}:latest", f"oci:{tmp_path}/layout:v1")
    target = f"{address}/billing/backend"
    skopeo.copy(f"oci:{tmp_path}/layout:v1", f"docker://{target}:v1", f"--format={manifest_format}")
    digest = skopeo.inspect(f"{target}:v1")["Digest"]
    eventually(lambda: has_image(sandbox, digest), "the cluster knows the image")
    assert sandbox.get_object(IMAGES, digest)["dockerImageManifestMediaType"] == media_type
    assert revisions(sandbox, "billing/backend") == {"v1": [digest]}
    for other in sandbox.registry_addresses().values():
        skopeo.pull(f"{other}/billing/backend@{digest}", tmp_path / other)
    assert sandbox.verify().ok


@needs_skopeo
def test_seeded_images_can_be_pulled(sandbox: Sandbox, address: str, skopeo: Skopeo, tmp_path: Path) -> None:
    sandbox.seed(SeedPlan(images=12, orphans=0))
    streams = sandbox.list_objects("imagestreams.image.openshift.io")
    for number, stream in enumerate(streams):
        (item, *_) = stream["status"]["tags"][0]["items"]
        repository = item["dockerImageReference"].partition("/")[2]
        skopeo.pull(f"{address}/{repository}", tmp_path / f"pulled-{number}")


@needs_skopeo
def test_pushed_images_outlive_a_hard_prune(sandbox: Sandbox, address: str, skopeo: Skopeo, tmp_path: Path) -> None:
    sandbox.seed(SeedPlan(images=3, orphans=30))
    image = pushed(sandbox, address, REPOSITORY, "latest")
    several = pushed_list(sandbox, address, REPOSITORY, "several")
    grant(sandbox)
    sandbox.configure_registry(readOnly=True)
    sandbox.wait_until_settled()
    pod = next(iter(sandbox.registry_addresses()))
    assert hard_prune(sandbox, pod).startswith("Deleted 30 blobs\n")
    revoke(sandbox)
    sandbox.configure_registry(readOnly=False)
    sandbox.wait_until_settled()
    for number, (digest, other) in enumerate(
        (digest, other) for digest in (image.digest, several) for other in sandbox.registry_addresses().values()
    ):
        skopeo.pull(f"{other}/{REPOSITORY}@{digest}", tmp_path / f"pulled-{number}")
    report = sandbox.verify()
    assert (report.ok, report.orphans_left) == (True, 0), report.problems


def test_a_registry_remembers_a_deleted_layer_until_its_pod_is_replaced(sandbox: Sandbox) -> None:
    pod, address = next(iter(sandbox.registry_addresses().items()))
    image = pushed(sandbox, address, REPOSITORY, "latest")
    kept = pushed(sandbox, address, REPOSITORY, "stable")
    layer = digest_of(image.layer)
    kubectl(sandbox, "delete", IMAGES, image.digest)
    grant(sandbox)
    assert hard_prune(sandbox, pod).startswith("Deleted 3 blobs\n")
    assert has_layer(address, REPOSITORY, layer) == 200
    # The push of a deleted layer "succeeds": the manifest is taken, and the image is torn.
    torn = json.loads(kept.manifest)
    torn["layers"] = json.loads(image.manifest)["layers"]
    broken = SmallImage(kept.layer, kept.config, json.dumps(torn).encode())
    assert push(address, REPOSITORY, "torn", broken) == 201
    eventually(lambda: has_image(sandbox, broken.digest), "the cluster knows the torn image")
    assert any(layer in problem for problem in sandbox.verify().problems)
    kubectl(sandbox, "delete", "pod", pod)
    sandbox.wait_until_settled()
    assert sandbox.get_object("pods", next(iter(sandbox.registry_addresses())), NAMESPACE)
    for other in sandbox.registry_addresses().values():
        assert has_layer(other, REPOSITORY, layer) == 404
