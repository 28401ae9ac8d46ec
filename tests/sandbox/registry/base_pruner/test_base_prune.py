"""The stand-in for ``oc adm prune images`` lets go of what it may, keeps what it must, and says so as oc does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.objects import REGISTRY_HOST, api_time
from sandbox.registry.seed.seed import SeedPlan, seed
from sandbox.registry.storage.images import Image, ManifestFormat
from sandbox.registry.storage.layout import layer_link_path, manifest_link_path
from tests.sandbox.registry.registry_world import OLD, Ended, RegistryWorld
from tests.sandbox.registry.tiny_api import TinyApi

ARGUMENTS = (
    "adm", "prune", "images", "--confirm=true",
    "--certificate-authority=/var/run/configmaps/serviceca/service-ca.crt", "--keep-tag-revisions=3",
    "--keep-younger-than=60m0s", "--ignore-invalid-refs=false", "--loglevel=0", "--prune-registry=true",
    f"--registry-url=https://{REGISTRY_HOST}",
)  # fmt: skip
READ_ONLY = {"name": "REGISTRY_STORAGE_MAINTENANCE_READONLY", "value": "{enabled: true}"}


def pod(name: str, *, env: list[dict[str, str]] | None = None, image: str = "registry") -> dict[str, object]:
    return {
        "metadata": {
            "name": name,
            "namespace": "openshift-image-registry",
            "labels": {"docker-registry": "default"},
        },
        "spec": {"containers": [{"name": "registry", "image": image, "env": env or []}]},
        "status": {"phase": "Running"},
    }


@pytest.fixture(autouse=True)
def registry_pod(api: TinyApi) -> None:
    api.put("pods", pod("image-registry-0"))


def prune(world: RegistryWorld, *more: str) -> Ended:
    return world.run(*ARGUMENTS, *more, stand_in="oc")


def last_line(ended: Ended) -> str:
    return ended.stdout.splitlines()[-1]


def push_revisions(world: RegistryWorld, repository: str, count: int) -> list[Image]:
    """Revisions of the tag ``latest``, the newest first; each has its own layer and one that all share."""
    shared = world.builder.layer(500)
    images = [world.builder.image([shared, world.builder.layer(300)]) for _ in range(count)]
    for image in images:
        world.push(repository, image, "latest")
    return images[::-1]


def items(world: RegistryWorld, repository: str, tag: str = "latest") -> list[str]:
    namespace, _, name = repository.partition("/")
    tags = world.api.get(IMAGE_STREAMS, name, namespace)["status"]["tags"]
    return [item["image"] for found in tags if found["tag"] == tag for item in found["items"]]


def image_names(world: RegistryWorld) -> set[str]:
    return {image["metadata"]["name"] for image in world.api.of(IMAGES)}


def own_digests(images: list[Image]) -> set[str]:
    """Without the shared layer, which is the first."""
    return {digest for image in images for digest in image.digests()} - {images[0].layers[0].digest}


def test_old_revisions_go_with_their_images_blobs_and_links(world: RegistryWorld) -> None:
    images = push_revisions(world, "tx/app", 5)
    kept, gone = images[:3], images[3:]
    ended = prune(world)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert items(world, "tx/app") == [image.manifest.digest for image in kept]
    assert image_names(world) == {image.manifest.digest for image in kept}
    assert world.digests() == {digest for image in kept for digest in image.digests()}
    links = {str(path.relative_to(world.state.storage)) for path in world.state.storage.rglob("link")}
    for image in gone:
        assert manifest_link_path("tx/app", image.manifest.digest)[1:] not in links
        assert layer_link_path("tx/app", image.layers[1].digest)[1:] not in links
    for image in kept:
        assert manifest_link_path("tx/app", image.manifest.digest)[1:] in links
        assert layer_link_path("tx/app", image.layers[0].digest)[1:] in links


def test_each_deletion_has_its_line_and_the_last_one_sums_up(world: RegistryWorld) -> None:
    image = push_revisions(world, "tx/app", 4)[3]
    assert image.config is not None
    layer, config, manifest = image.layers[1].digest, image.config.digest, image.manifest.digest
    assert prune(world).stdout.splitlines() == [
        f"Deleting layer link {layer} in repository tx/app",
        f"Deleting layer link {config} in repository tx/app",
        "Deleting 1 items from image stream tx/app",
        f"Deleting manifest link {manifest} in repository tx/app",
        f"Deleting blob {layer}",
        f"Deleting blob {config}",
        f"Deleting blob {manifest}",
        f"Deleting image {manifest}",
        "Summary: deleted 1 image object(s), deleted 1 image stream tag item(s), updated 1 image stream(s), "
        "deleted 2 layer link(s), deleted 1 manifest link(s), deleted 3 blob(s)",
    ]


def test_with_nothing_to_do_it_deletes_0_objects(world: RegistryWorld) -> None:
    push_revisions(world, "tx/app", 3)
    assert prune(world) == Ended(0, "Summary: deleted 0 objects\n", "")


def test_a_dry_run_prints_the_same_and_changes_nothing(world: RegistryWorld) -> None:
    push_revisions(world, "tx/app", 5)
    before = world.digests(), image_names(world), items(world, "tx/app")
    dry = prune(world, "--confirm=false")
    assert dry.stderr == ("Dry run enabled - no modifications will be made. Add --confirm to remove images\n")
    assert (world.digests(), image_names(world), items(world, "tx/app")) == before
    assert prune(world).stdout == dry.stdout


def test_the_last_occurrence_of_a_flag_counts(world: RegistryWorld) -> None:
    push_revisions(world, "tx/app", 5)
    prune(world, "--keep-tag-revisions=4")
    assert len(items(world, "tx/app")) == 4
    prune(world, "--keep-tag-revisions", "1")
    assert len(items(world, "tx/app")) == 1


def test_what_is_young_stays(world: RegistryWorld) -> None:
    images = push_revisions(world, "tx/app", 5)
    young = datetime.now(UTC) - timedelta(minutes=90)
    fresh = world.push("tx/app", world.image(), "latest", created=young)
    assert prune(world, "--keep-tag-revisions=0", "--keep-younger-than=2h").exit_code == 0
    assert items(world, "tx/app") == [fresh.manifest.digest]
    assert image_names(world) == {fresh.manifest.digest}
    assert not own_digests(images) & world.digests()
    assert prune(world, "--keep-tag-revisions=0", "--keep-younger-than=1h").exit_code == 0
    assert image_names(world) == set()


def test_an_image_that_another_tag_names_stays(world: RegistryWorld) -> None:
    images = push_revisions(world, "tx/app", 5)
    world.tag("tx/app", "stable", images[4].manifest.digest)
    world.tag("production/app", "live", images[3].manifest.digest)
    prune(world)
    assert items(world, "tx/app") == [image.manifest.digest for image in images[:3]]
    assert items(world, "tx/app", "stable") == [images[4].manifest.digest]
    assert image_names(world) == {image.manifest.digest for image in images}
    assert own_digests(images) <= world.digests()


def test_an_image_that_a_workload_runs_stays(world: RegistryWorld, api: TinyApi) -> None:
    images = push_revisions(world, "tx/app", 5)
    reference = f"{REGISTRY_HOST}/tx/app@{images[4].manifest.digest}"
    api.put("deployments.apps", {
        "metadata": {"name": "app", "namespace": "tx"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": reference}]}}},
    })  # fmt: skip
    prune(world)
    assert items(world, "tx/app") == [images[position].manifest.digest for position in (0, 1, 2, 4)]
    assert images[4].manifest.digest in image_names(world)


def test_the_newest_revision_of_a_tag_that_a_workload_names_stays(world: RegistryWorld, api: TinyApi) -> None:
    images = push_revisions(world, "tx/app", 3)
    api.put("pods", pod("user", image=f"{REGISTRY_HOST}/tx/app:latest"))
    prune(world, "--keep-tag-revisions=0")
    assert items(world, "tx/app") == [images[0].manifest.digest]


def test_the_architectures_of_an_image_that_is_kept_stay(world: RegistryWorld) -> None:
    image = world.push("tx/multi", world.multi_architecture_image(), "latest")
    prune(world)
    assert image_names(world) == {part.manifest.digest for part in image.with_children()}
    prune(world, "--keep-tag-revisions=0")
    assert image_names(world) == set()
    assert world.digests() == set()


def test_a_revision_whose_image_is_gone_leaves_the_tag(world: RegistryWorld) -> None:
    image = push_revisions(world, "tx/app", 1)[0]
    world.api.remove(IMAGES, image.manifest.digest)
    ended = prune(world)
    assert items(world, "tx/app") == []
    assert f"image {image.manifest.digest} not found, deleting..." in ended.stderr
    assert last_line(ended) == "Summary: deleted 1 image stream tag item(s), updated 1 image stream(s)"


def test_imported_images_stay_when_asked(world: RegistryWorld) -> None:
    image = world.push("tx/app", world.image(), None)
    world.api.get(IMAGES, image.manifest.digest)["metadata"]["annotations"].pop("openshift.io/image.managed")
    prune(world, "--all=false")
    assert image_names(world) == {image.manifest.digest}
    prune(world)
    assert image_names(world) == set()


def test_without_the_registry_only_objects_go(world: RegistryWorld) -> None:
    images = push_revisions(world, "tx/app", 4)
    ended = prune(world, "--prune-registry=false")
    assert ended.stdout.splitlines()[0].startswith("Only API objects will be removed.")
    assert images[3].manifest.digest not in image_names(world)
    assert own_digests(images) <= world.digests()
    assert world.run("-prune=check").stdout.splitlines()[0] == "Would delete 3 blobs"


def test_only_one_namespace_when_asked_and_no_images(world: RegistryWorld) -> None:
    push_revisions(world, "one/app", 4)
    push_revisions(world, "two/app", 4)
    prune(world, "--namespace=one")
    assert (len(items(world, "one/app")), len(items(world, "two/app"))) == (3, 4)
    assert len(image_names(world)) == 8


def test_a_read_only_registry_refuses_deletions_and_the_images_stay(world: RegistryWorld, api: TinyApi) -> None:
    images = push_revisions(world, "tx/app", 4)
    api.put("pods", pod("image-registry-0", env=[READ_ONLY]))
    ended = prune(world)
    assert ended.exit_code == 1
    assert f"error deleting blob {images[3].manifest.digest} from the registry: 405 Method Not" in ended.stderr
    assert images[3].manifest.digest in image_names(world)
    assert own_digests(images) <= world.digests()
    assert last_line(ended) == "Summary: deleted 1 image stream tag item(s), updated 1 image stream(s)"


def test_without_a_registry_pod_nothing_is_done(world: RegistryWorld, api: TinyApi) -> None:
    push_revisions(world, "tx/app", 4)
    api.remove("pods", "image-registry-0", "openshift-image-registry")
    ended = prune(world)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: failed to ping registry https://{REGISTRY_HOST}: ")
    assert len(image_names(world)) == 4


def test_a_conflict_is_tried_again_on_the_new_object(world: RegistryWorld, api: TinyApi) -> None:
    images = push_revisions(world, "tx/app", 4)
    api.conflicts = 2
    ended = prune(world)
    assert ended.exit_code == 0
    assert ended.stderr.count("error updating image stream tx/app to remove image references") == 2
    assert ended.stdout.count(f"Deleting layer link {images[3].layers[1].digest}") == 1
    assert len(items(world, "tx/app")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nosuch"], "error: unknown flag: --nosuch"),
        (["-x"], "error: unknown shorthand flag: 'x' in -x"),
        (["false"], "error: no arguments are allowed to this command"),
        (["--keep-younger-than=60"],
         'error: invalid argument "60" for "--keep-younger-than" flag: time: missing unit in duration "60"'),
        (["--keep-younger-than=60m; rm -rf /"], 'time: unknown unit "m; rm -rf /" in duration'),
        (["--keep-tag-revisions=few"], 'strconv.ParseInt: parsing "few": invalid syntax'),
        (["--confirm=maybe"], 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (["--keep-tag-revisions=-1"], "error: --keep-tag-revisions must be greater than or equal to 0"),
        (["--keep-younger-than=-1h"], "error: --keep-younger-than must be greater than or equal to 0"),
        (["--keep-tag-revisions"], "error: flag needs an argument: --keep-tag-revisions"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_exits_with_1(world: RegistryWorld, arguments: list[str], message: str) -> None:
    ended = prune(world, *arguments)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert message in ended.stderr
    assert world.api.requests == []


def test_a_command_that_is_not_known_is_refused(world: RegistryWorld) -> None:
    ended = world.run("adm", "prune", "builds", stand_in="oc")
    assert ended == Ended(1, "", "error: the sandbox's oc knows only `oc adm prune images`\n")


def test_loglevel_1_tells_the_settings_as_the_cron_job_shows_them(world: RegistryWorld) -> None:
    (line,) = prune(world, "--loglevel=1", "--keep-younger-than=90m").stderr.splitlines()
    assert re.fullmatch(
        r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ prune\.go:\d+\] Creating image pruner with "
        r"keepYoungerThan=1h30m0s, keepTagRevisions=3, pruneOverSizeLimit=<nil>, allImages=true",
        line,
    )


def test_missing_rights_are_told_as_oc_tells_them(world: RegistryWorld, api: TinyApi) -> None:
    api.forbidden.add("deployments.apps")
    ended = prune(world)
    assert ended.exit_code == 0
    assert ended.stderr.startswith("Failed to list deployments: deployments.apps is forbidden")
    api.forbidden.add(IMAGES)
    ended = prune(world)
    assert ended.exit_code == 1
    assert "Error from server (Forbidden): images.image.openshift.io is forbidden" in ended.stderr


def test_a_wrong_token_is_told_as_oc_tells_it(world: RegistryWorld, api: TinyApi) -> None:
    api.write_kubeconfig(world.state.kubeconfig, token="of somebody else")
    assert prune(world) == Ended(1, "", "error: You must be logged in to the server (Unauthorized)\n")


def test_an_ordered_failure_does_nothing(world: RegistryWorld) -> None:
    push_revisions(world, "tx/app", 5)
    PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: no luck\n").write(world.state)
    assert prune(world) == Ended(1, "", "error: no luck\n")
    assert len(image_names(world)) == 5


def test_an_interrupted_prune_leaves_orphans(world: RegistryWorld) -> None:
    images = push_revisions(world, "tx/app", 6)
    PrunerFaults(modes=("base-prune",), interrupt_after_images=2).write(world.state)
    ended = prune(world)
    assert ended.exit_code == 1
    assert "Summary:" not in ended.stdout
    assert len(image_names(world)) == 6 - 2
    # Of each of the two: a layer and a config; the manifests are gone.
    assert world.run("-prune=check").stdout.splitlines()[0] == "Would delete 4 blobs"
    world.state.pruner_faults.unlink()
    assert prune(world).exit_code == 0
    assert image_names(world) == {image.manifest.digest for image in images[:3]}
    assert world.run("-prune=check").stdout.splitlines()[0] == "Would delete 4 blobs"


def test_a_seeded_registry_gives_it_work_and_stays_whole(world: RegistryWorld) -> None:
    inventory = seed(world.state, SeedPlan(images=60, orphans=40, size="40KiB"))
    before = world.run("-experimental", "-restore-mode=check-database").stdout
    ended = prune(world)
    assert ended.exit_code == 0
    counts = [int(count) for count in re.findall(r"(?:deleted|updated) (\d+)", last_line(ended))]
    assert len(counts) == 6
    assert min(counts) > 0
    assert len(world.digests()) < len(inventory.needed) + 40
    after = world.run("-experimental", "-restore-mode=check-database")
    assert before
    assert after == Ended(0, "", "")
    assert world.run("-prune=check").stdout.splitlines()[0] == "Would delete 40 blobs"


def test_formats_of_manifests_are_told_apart(world: RegistryWorld) -> None:
    for number, manifest_format in enumerate(ManifestFormat):
        world.push(f"tx/app-{number}", world.image(manifest_format=manifest_format), "latest", created=OLD)
    prune(world, "--keep-tag-revisions=0")
    assert world.digests() == set()


def test_a_young_image_stays_although_nothing_names_it(world: RegistryWorld) -> None:
    young, old = (world.push("tx/app", world.image(), None, created=created) for created in (datetime.now(UTC), OLD))
    prune(world)
    assert image_names(world) == {young.manifest.digest}
    assert not set(old.digests()) & world.digests()


def test_a_young_image_stream_is_left_alone(world: RegistryWorld, api: TinyApi) -> None:
    images = push_revisions(world, "tx/app", 5)
    api.get(IMAGE_STREAMS, "app", "tx")["metadata"]["creationTimestamp"] = api_time(datetime.now(UTC))
    prune(world)
    assert image_names(world) == {image.manifest.digest for image in images}
