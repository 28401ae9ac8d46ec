"""The stand-in for ``dockerregistry`` does what the real one did: every transcript is played again."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from sandbox.registry.api import IMAGES
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.journal import read_journal
from sandbox.registry.storage.images import ManifestFormat
from tests.sandbox.registry.registry_world import Ended, RegistryWorld, Transcript, shape
from tests.sandbox.registry.tiny_api import TinyApi


def play(world: RegistryWorld, name: str, **environ: str) -> tuple[Ended, Ended]:
    """Run the transcript's command; what came of it, and what came of it in the transcript."""
    transcript = Transcript.read(name)
    return world.run(*transcript.argv, **{**transcript.environ, **environ}), transcript.ended


def assert_same(ended: Ended, expected: Ended) -> None:
    assert ended.exit_code == expected.exit_code
    assert shape(ended.stdout) == shape(expected.stdout)
    # The blobs come in the order of their digests, which differ: kept ones and others are mixed another way.
    lines, expected_lines = shape(ended.stderr), shape(expected.stderr)
    assert sorted(lines) == sorted(expected_lines)
    assert without_blobs(lines) == without_blobs(expected_lines)


def without_blobs(lines: list[str]) -> list[str]:
    return [line for line in lines if " blob" not in line and "/blobs/sha256/" not in line]


def story(root: Path, api: TinyApi) -> RegistryWorld:
    """The registry of transcripts 01 to 10: 12 blobs are needed, 16 are not."""
    for attempt in range(100):
        api.objects.clear()
        world = RegistryWorld(root / str(attempt), api, seed=f"story {attempt}")
        needed = [world.push("tx/app-0", world.image(), f"v{number}") for number in range(2)]
        needed.append(world.push("tx/app-1", world.image(), "v0"))
        deleted, rejected, gone = (world.image() for _ in range(3))
        world.builder.link("tx/app-0", deleted)
        world.builder.link("tx/app-1", rejected)
        world.builder.link("tx/gone-0", gone)
        world.orphans(4)
        first, second, third = (image.manifest.digest for image in needed)
        # Traces of level debug follow the order of digests.
        if deleted.manifest.digest > max(first, second) and rejected.manifest.digest < third:
            return world
    raise AssertionError("no seed gives digests in the order of the transcripts")


@pytest.mark.parametrize(
    "name", ["01-check-default", "02-check-info", "03-check-debug", "05-check-bad-level", "06-check-json"]
)
def test_a_dry_run_lists_what_it_would_delete(name: str, tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    before = world.digests()
    assert_same(*play(world, name))
    assert world.digests() == before


def test_deleting_leaves_what_images_need_and_nothing_else(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    assert_same(*play(world, "07-delete-default"))
    assert len(world.digests()) == 12
    assert not (world.state.storage / "docker/registry/v2/repositories/tx/gone-0").exists()
    assert_same(*play(world, "08-check-after-delete"))


def test_deleting_at_level_info_names_paths(tmp_path: Path, api: TinyApi) -> None:
    assert_same(*play(story(tmp_path, api), "10-delete-info"))


@pytest.mark.parametrize("name", ["20-norbac-check", "22-norbac-delete"])
def test_without_the_role_it_says_what_the_api_says(name: str, tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    api.forbidden.add(IMAGES)
    assert_same(*play(world, name))
    assert len(world.digests()) == 28


def test_a_token_that_nobody_issued_is_unauthorized(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    api.write_kubeconfig(world.state.kubeconfig, token="of somebody else")
    assert_same(*play(world, "25-bad-token-check", KUBECONFIG=str(world.state.kubeconfig)))


def test_an_api_that_is_down_refuses_the_connection(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api.write_kubeconfig(world.state.kubeconfig, server=f"https://127.0.0.1:{unused.getsockname()[1]}")
        assert_same(*play(world, "26-api-down-check", KUBECONFIG=str(world.state.kubeconfig)))


def test_an_empty_storage_is_only_a_warning(world: RegistryWorld) -> None:
    assert_same(*play(world, "30-empty-storage-check"))


def test_a_volume_mounted_read_only_stops_at_the_first_link(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    PrunerFaults(read_only_file_system=True).write(world.state)
    assert_same(*play(world, "41-readonly-mount-delete"))
    assert len(world.digests()) == 28


def test_a_blob_that_cannot_be_deleted_stops_the_run_and_is_counted(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    PrunerFaults(fail_delete_after_blobs=8).write(world.state)
    assert_same(*play(world, "43-undeletable-blob-delete"))
    assert len(world.digests()) == 28 - 8
    PrunerFaults(fail_delete_after_blobs=0).write(world.state)
    assert_same(*play(world, "44-undeletable-blob-delete-info"))
    assert len(world.digests()) == 28 - 8


def test_without_images_every_blob_is_an_orphan(tmp_path: Path, api: TinyApi) -> None:
    world = story(tmp_path, api)
    for image in api.of(IMAGES):
        api.remove(IMAGES, image["metadata"]["name"])
    assert_same(*play(world, "58-no-images-check"))


def test_a_mode_that_does_not_exist_is_a_usage_error(world: RegistryWorld) -> None:
    assert_same(*play(world, "60-bad-mode"))
    assert read_journal(world.state.pruner_journal) == []


def test_two_pruners_at_once_take_blobs_from_each_other(world: RegistryWorld) -> None:
    world.push("tx/app-0", world.image(), "v0")
    world.orphans(3013, size=2045)
    PrunerFaults(vanish_after_blobs=0).write(world.state)
    assert_same(*play(world, "70-concurrent-a"))
    world.state.pruner_faults.unlink()
    ended, expected = play(world, "71-concurrent-b")
    assert_same(ended, expected)
    assert ended.stdout == expected.stdout


def test_a_terminated_pruner_prints_no_summary(world: RegistryWorld) -> None:
    world.push("tx/app-0", world.image(), "v0")
    world.orphans(3)
    PrunerFaults(seconds_per_blob=60).write(world.state)
    transcript = Transcript.read("72-sigterm-delete")
    process = world.start(*transcript.argv)
    wait_for_start(world)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert -process.returncode + 128 == transcript.ended.exit_code
    assert (stdout, stderr) == (transcript.ended.stdout, transcript.ended.stderr)
    assert [entry["event"] for entry in read_journal(world.state.pruner_journal)] == ["start", "end"]
    assert read_journal(world.state.pruner_journal)[1]["exit_code"] == 143


def wait_for_start(world: RegistryWorld) -> None:
    deadline = time.monotonic() + 30
    # It has asked for the image stream: it is at work, and its signal handlers are there.
    while not any("imagestreams" in path for _, path in world.api.requests):
        assert time.monotonic() < deadline, "the pruner has not begun"
        time.sleep(0.02)


def test_whole_images_make_no_line(world: RegistryWorld) -> None:
    world.push("tx/app-0", world.image(), "v0")
    world.push("tx/multi", world.multi_architecture_image(), "latest")
    assert_same(*play(world, "80-integrity-whole"))


def test_a_missing_layer_breaks_the_tag(world: RegistryWorld) -> None:
    image = world.push("tx/app-0", world.image(), "v0")
    world.storage.remove_blob(image.layers[0].digest)
    ended, expected = play(world, "81-integrity-layer-missing")
    assert_same(ended, expected)
    assert image.layers[0].digest in ended.stdout


def test_a_missing_manifest_breaks_the_tag(world: RegistryWorld) -> None:
    image = world.push("tx/app-0", world.image(), "v0")
    world.storage.remove_blob(image.manifest.digest)
    assert_same(*play(world, "82-integrity-manifest-missing"))


def test_the_integrity_check_needs_the_role(world: RegistryWorld, api: TinyApi) -> None:
    api.forbidden.add("imagestreams.image.openshift.io")
    assert_same(*play(world, "84-integrity-norbac"))


def test_the_integrity_check_is_experimental(world: RegistryWorld) -> None:
    assert_same(*play(world, "85-integrity-without-experimental"))


def test_an_image_without_media_type_loses_its_config(world: RegistryWorld) -> None:
    world.push("tx/multi", world.multi_architecture_image(), "latest")
    world.push("tx/oci", world.image(1, ManifestFormat.OCI), "latest")
    victim = world.push("tx/empty", world.image(1, ManifestFormat.OCI), "latest", media_type="")
    before = world.digests()
    assert_same(*play(world, "91-multiarch-check"))
    assert_same(*play(world, "92-multiarch-delete"))
    assert victim.config is not None
    assert before - world.digests() == {victim.config.digest}
    assert_same(*play(world, "93-multiarch-integrity-after"))


def test_missing_parts_of_oci_and_multi_architecture_images(world: RegistryWorld) -> None:
    multiple = world.push("tx/multi", world.multi_architecture_image(), "latest")
    image = world.push("tx/oci", world.image(1, ManifestFormat.OCI), "latest")
    assert image.config is not None
    world.storage.remove_blob(image.config.digest)
    assert_same(*play(world, "95-integrity-oci-config-missing"))
    world.storage.remove_blob(multiple.children[0].layers[0].digest)
    assert_same(*play(world, "96-integrity-layer-of-multiarch-child-missing"))
