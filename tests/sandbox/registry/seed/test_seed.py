"""``seed`` fills storage and API: real digests, orphans of every cause, exactly as many as were asked for."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.seed import seed as seeding
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed import SeedError, SeedPlan, seed
from sandbox.registry.seed.seed_orphans import Cause
from sandbox.registry.storage import media_types
from tests.sandbox.registry.registry_world import RegistryWorld
from tests.sandbox.registry.tiny_api import TinyApi

REPOSITORIES = "docker/registry/v2/repositories"
SMALL = SeedPlan(images=30, orphans=100, size="200KiB")


def named_digests(api: TinyApi) -> set[str]:
    """Every digest that Images name."""
    digests = set()
    for image in api.of(IMAGES):
        digests.add(image["metadata"]["name"])
        digests |= {layer["name"] for layer in image["dockerImageLayers"]}
        digests |= {child["digest"] for child in image.get("dockerImageManifests", [])}
        digests |= {image["dockerImageMetadata"]["Id"]} if "Id" in image["dockerImageMetadata"] else set()
    return digests


def stated_by_pruner(world: RegistryWorld) -> str:
    ended = world.run("-prune=check")
    assert ended.exit_code == 0
    return ended.stdout.splitlines()[0]


def test_every_blob_hashes_to_its_digest(world: RegistryWorld) -> None:
    seed(world.state, SMALL)
    for digest in world.digests():
        assert digest == "sha256:" + hashlib.sha256(world.storage.read_blob(digest)).hexdigest()


def test_the_storage_holds_what_images_name_and_the_orphans(world: RegistryWorld, api: TinyApi) -> None:
    inventory = seed(world.state, SMALL)
    assert inventory.needed == named_digests(api)
    assert inventory.needed <= world.digests()
    assert len(world.digests() - inventory.needed) == inventory.orphaned_blobs == 100
    sizes = dict(world.storage.blobs())
    assert inventory.orphaned_bytes == sum(sizes[digest] for digest in world.digests() - inventory.needed)


def test_images_follow_their_manifests(world: RegistryWorld, api: TinyApi) -> None:
    seed(world.state, SMALL)
    seen = set()
    for image in api.of(IMAGES):
        manifest = json.loads(world.storage.read_blob(image["metadata"]["name"]))
        media_type = image["dockerImageManifestMediaType"]
        assert manifest["mediaType"] == media_type
        seen.add(media_type)
        assert [layer["digest"] for layer in manifest.get("layers", [])] == [
            layer["name"] for layer in image["dockerImageLayers"]
        ]
        if media_type in media_types.IMAGE_MANIFESTS:
            assert manifest["config"]["digest"] == image["dockerImageMetadata"]["Id"]
        else:
            children = [child["digest"] for child in image["dockerImageManifests"]]
            assert [child["digest"] for child in manifest["manifests"]] == children
            assert all(api.get(IMAGES, child) for child in children)
    assert seen == {*media_types.IMAGE_MANIFESTS, *media_types.MANIFEST_LISTS}


def test_layers_are_shared_between_images_of_several_namespaces(world: RegistryWorld, api: TinyApi) -> None:
    seed(world.state, SMALL)
    users: dict[str, set[str]] = {}
    for image in api.of(IMAGES):
        namespace = image["dockerImageReference"].split("/")[1]
        for layer in image["dockerImageLayers"]:
            users.setdefault(layer["name"], set()).add(namespace)
    assert max(len(namespaces) for namespaces in users.values()) > 1


def test_some_tags_have_more_revisions_than_the_base_prune_keeps(world: RegistryWorld, api: TinyApi) -> None:
    seed(world.state, SMALL)
    tags = [tag for stream in api.of(IMAGE_STREAMS) for tag in stream["status"]["tags"]]
    assert max(len(tag["items"]) for tag in tags) > 3
    for tag in tags:
        created = [item["created"] for item in tag["items"]]
        assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("orphans", [1, 2, 3, 57])
def test_the_pruner_counts_the_orphans_of_each_cause(cause: Cause, orphans: int, world: RegistryWorld) -> None:
    inventory = seed(world.state, SeedPlan(images=7, orphans=orphans, size=20_000, causes=[cause.value]))
    assert stated_by_pruner(world) == f"Would delete {orphans} blobs"
    assert {name: count.blobs for name, count in inventory.orphans.items()} == {cause.value: orphans}


@pytest.mark.parametrize("orphans", [0, 1, 4, 23, 300])
def test_the_pruner_counts_as_many_orphans_as_were_asked_for(orphans: int, world: RegistryWorld) -> None:
    seed(world.state, SeedPlan(images=11, orphans=orphans, size="64KiB", seed=orphans))
    assert stated_by_pruner(world) == f"Would delete {orphans} blobs"


def test_orphans_need_no_images(world: RegistryWorld, api: TinyApi) -> None:
    seed(world.state, SeedPlan(images=0, orphans=21, size=9000))
    assert stated_by_pruner(world) == "Would delete 21 blobs"
    assert api.of(IMAGES) == []


def test_orphans_are_spread_evenly_and_have_the_size_that_was_asked_for(world: RegistryWorld) -> None:
    inventory = seed(world.state, SeedPlan(images=4, orphans=502, size="4MiB"))
    assert [count.blobs for count in inventory.orphans.values()] == [101, 101, 100, 100, 100]
    assert inventory.orphaned_bytes == pytest.approx(4 * 1024**2, rel=0.01)


def seed_one(world: RegistryWorld, cause: Cause) -> None:
    seed(world.state, SeedPlan(images=3, orphans=40, size=60_000, causes=[cause]))


def revisions(world: RegistryWorld, cause: Cause) -> list[Path]:
    """Links to manifests in the repositories of that cause's orphans."""
    pattern = f"*/{cause.value}-*/_manifests/revisions/sha256/*/link"
    return list((world.state.storage / REPOSITORIES).glob(pattern))


def layer_links(world: RegistryWorld, cause: Cause) -> list[Path]:
    return list((world.state.storage / REPOSITORIES).glob(f"*/{cause.value}-*/_layers/sha256/*/link"))


def streams(api: TinyApi, cause: Cause) -> list[dict[str, Any]]:
    return [stream for stream in api.of(IMAGE_STREAMS) if stream["metadata"]["name"].startswith(cause.value)]


def test_a_deleted_image_leaves_its_links_and_the_tag_that_named_it(world: RegistryWorld, api: TinyApi) -> None:
    seed_one(world, Cause.DELETED_IMAGE)
    links = revisions(world, Cause.DELETED_IMAGE)
    linked = {link.read_text() for link in links}
    (stream,) = streams(api, Cause.DELETED_IMAGE)
    items = {item["image"] for tag in stream["status"]["tags"] for item in tag["items"]}
    assert links
    assert items == linked
    assert not items & {image["metadata"]["name"] for image in api.of(IMAGES)}


def test_a_failed_push_leaves_layers_and_an_upload_but_no_manifest(world: RegistryWorld, api: TinyApi) -> None:
    seed_one(world, Cause.FAILED_PUSH)
    assert layer_links(world, Cause.FAILED_PUSH)
    assert not revisions(world, Cause.FAILED_PUSH)
    assert list((world.state.storage / REPOSITORIES).glob("*/failed-push-*/_uploads/*/startedat"))
    assert streams(api, Cause.FAILED_PUSH) == []


def test_a_rejected_image_has_a_manifest_and_a_stream_that_does_not_name_it(world: RegistryWorld, api: TinyApi) -> None:
    seed_one(world, Cause.QUOTA_REJECTED)
    assert revisions(world, Cause.QUOTA_REJECTED)
    (stream,) = streams(api, Cause.QUOTA_REJECTED)
    assert stream["status"]["tags"] == []


def test_an_interrupted_prune_leaves_blobs_without_links(world: RegistryWorld, api: TinyApi) -> None:
    seed_one(world, Cause.INTERRUPTED_PRUNE)
    assert not revisions(world, Cause.INTERRUPTED_PRUNE)
    assert not layer_links(world, Cause.INTERRUPTED_PRUNE)
    assert len(streams(api, Cause.INTERRUPTED_PRUNE)) == 1


def test_a_bug_of_the_pruner_leaves_a_repository_without_stream(world: RegistryWorld, api: TinyApi) -> None:
    seed_one(world, Cause.PRUNER_BUG)
    assert revisions(world, Cause.PRUNER_BUG)
    assert streams(api, Cause.PRUNER_BUG) == []
    ended = world.run("-prune=delete", REGISTRY_LOG_LEVEL="info")
    assert "The image stream shop-1/pruner-bug-0 is not found, will remove the whole repository" in ended.stderr
    assert not (world.state.storage / REPOSITORIES / "shop-1/pruner-bug-0").exists()


def test_deleting_leaves_exactly_what_images_need(world: RegistryWorld) -> None:
    inventory = seed(world.state, SMALL)
    assert world.run("-prune=delete").stdout.startswith("Deleted 100 blobs\n")
    assert world.digests() == inventory.needed


def test_another_seed_adds_to_what_is_there(world: RegistryWorld, api: TinyApi) -> None:
    first = seed(world.state, SMALL)
    images = len(api.of(IMAGES))
    second = seed(world.state, SeedPlan(images=30, orphans=50, size="10KiB", seed=2, causes=[Cause.FAILED_PUSH]))
    assert stated_by_pruner(world) == "Would delete 150 blobs"
    assert second.seeds == [1, 2]
    assert second.images == len(api.of(IMAGES)) > images
    assert first.needed < second.needed
    assert second.orphans["failed-push"].blobs == 20 + 50
    assert SeedInventory.read(world.state) == second


def test_the_same_seed_cannot_be_used_twice(world: RegistryWorld) -> None:
    seed(world.state, SMALL)
    with pytest.raises(SeedError, match="seed 1 is in the storage already; choose another number with --seed"):
        seed(world.state, SMALL)


def test_the_same_seed_makes_the_same_content(tmp_path: Path, api: TinyApi) -> None:
    contents = []
    for name in ("one", "other"):
        api.objects.clear()
        world = RegistryWorld(tmp_path / name, api)
        seed(world.state, SMALL)
        contents.append(world.digests())
    assert contents[0] == contents[1]


def test_an_api_that_drops_the_status_gets_it_in_a_second_request(world: RegistryWorld, api: TinyApi) -> None:
    api.keeps_status_on_create = False
    seed(world.state, SMALL)
    assert all("tags" in stream["status"] for stream in api.of(IMAGE_STREAMS))
    assert stated_by_pruner(world) == "Would delete 100 blobs"


def test_images_without_media_type_lose_their_configs(world: RegistryWorld, api: TinyApi) -> None:
    seed(world.state, SeedPlan(images=6, orphans=0, images_without_media_type=2))
    victims = [image for image in api.of(IMAGES) if image["dockerImageManifestMediaType"] == ""]
    assert len(victims) == 2
    assert stated_by_pruner(world) == "Would delete 2 blobs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "2 gigs"}, "'2 gigs' is no size: write a number and a unit"),
        ({"images": -1}, "images is -1"),
        ({"orphans": -5}, "orphans is -5"),
        ({"causes": ()}, "causes is empty"),
        ({"causes": ("flood",)}, "causes is flood; there are deleted-image, failed-push"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SeedError, match=message):
        SeedPlan(**changes)


def run_command(world: RegistryWorld, *words: str) -> int:
    parser = argparse.ArgumentParser()
    seeding.add_arguments(parser)
    return seeding.run(parser.parse_args(words), world.state)


def test_the_command_says_what_it_did(world: RegistryWorld, capsys: pytest.CaptureFixture[str]) -> None:
    counts = ["--images", "3", "--orphans", "10", "--size", "20KiB", "--seed", "7"]
    assert run_command(world, *counts, "--cause", "failed-push", "--cause", "pruner-bug") == 0
    told = capsys.readouterr().out
    assert "and 10 orphaned blobs (" in told
    assert "  failed-push: 5 (" in told
    assert "  pruner-bug: 5 (" in told
    assert SeedInventory.read(world.state).seeds == [7]


def test_the_command_needs_a_sandbox(world: RegistryWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.state.kubeconfig.unlink()
    assert run_command(world) == 2
    assert "no sandbox is up in" in capsys.readouterr().err


def test_the_command_says_why_it_cannot(world: RegistryWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(world, "--size", "much") == 1
    assert "'much' is no size" in capsys.readouterr().err
    world.api.forbidden.add("namespaces")
    assert run_command(world, "--images", "1") == 1
    assert "namespaces is forbidden" in capsys.readouterr().err
