"""Situations in which a hard prune would destroy what is needed: the stand-in would do so, as the real one does."""

from __future__ import annotations

import pytest

from sandbox.base.errors import SandboxError
from sandbox.base.names import CLUSTER_VERSION, CLUSTER_VERSIONS, NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from sandbox.registry.storage.media_types import OCI_MANIFEST
from tests.sandbox.cluster_tools import Kubectl, names

ORPHANS = 10


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings.quick(replicas=1, real_registry=False)


@pytest.fixture
def plan() -> SeedPlan:
    """Overridden by tests that need other images."""
    return SeedPlan(images=12, orphans=ORPHANS, size="20KiB", causes=("failed-push",))


@pytest.fixture
def seeded(sandbox: Sandbox, kubectl: Kubectl, plan: SeedPlan) -> Sandbox:
    sandbox.seed(plan)
    account = f"--serviceaccount={NAMESPACE}:registry"
    kubectl("create", "clusterrolebinding", "system:image-pruner", "--clusterrole=system:image-pruner", account)
    return sandbox


class DryRun:
    """What ``-prune=check`` says."""

    def __init__(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        pod = names(sandbox.registry_pods())[0]
        script = "REGISTRY_LOG_LEVEL=info /usr/bin/dockerregistry -prune=check"
        done = kubectl.run("exec", pod, "--", "/bin/sh", "-c", script)
        self.exit_code = done.returncode
        self.log = done.stderr
        self.summary = done.stdout.splitlines()[0] if done.stdout else ""

    def listed(self, kind: str) -> set[str]:
        """Blobs, manifest links or repositories that would be deleted."""
        marker = f"Would delete {kind}: "
        return {line.split(marker)[1].split('"')[0] for line in self.log.splitlines() if marker in line}


def test_the_config_of_an_image_without_media_type_is_taken(seeded: Sandbox, kubectl: Kubectl) -> None:
    before = DryRun(seeded, kubectl).listed("blob")
    (name,) = seeded.forget_media_types()
    config = seeded.get_object(IMAGES, name)["dockerImageMetadata"]["Id"]
    assert DryRun(seeded, kubectl).listed("blob") - before == {config}
    with pytest.raises(SandboxError, match="Images with a config, not 10000"):
        seeded.forget_media_types(10_000)


def test_with_an_empty_etcd_every_blob_is_an_orphan(seeded: Sandbox, kubectl: Kubectl) -> None:
    blobs = seeded.stored_digests()
    assert seeded.restore_empty_etcd() > 0
    dry_run = DryRun(seeded, kubectl)
    assert dry_run.exit_code == 0
    assert dry_run.listed("blob") == blobs == seeded.stored_digests()
    assert dry_run.listed("repository")
    assert (seeded.list_objects(IMAGES), seeded.list_objects(IMAGE_STREAMS)) == ([], [])


def test_image_streams_can_survive_it(seeded: Sandbox, kubectl: Kubectl) -> None:
    seeded.restore_empty_etcd(image_streams=False)
    dry_run = DryRun(seeded, kubectl)
    assert dry_run.listed("blob") == seeded.stored_digests()
    assert dry_run.listed("repository") == set()


def test_hidden_image_streams_let_every_repository_be_removed(seeded: Sandbox, kubectl: Kubectl) -> None:
    seeded.hide_image_streams()
    dry_run = DryRun(seeded, kubectl)
    assert dry_run.exit_code == 0
    assert len(dry_run.listed("repository")) > 3
    assert dry_run.summary == f"Would delete {ORPHANS} blobs"
    seeded.clear_faults()
    assert DryRun(seeded, kubectl).listed("repository") == set()


def test_storage_that_is_not_mounted_is_a_warning_only(seeded: Sandbox, kubectl: Kubectl) -> None:
    blobs = seeded.stored_digests()
    seeded.unmount_storage()
    dry_run = DryRun(seeded, kubectl)
    assert (dry_run.exit_code, dry_run.summary) == (0, "Would delete 0 blobs")
    assert "No repositories found: filesystem: Path not found: /docker/registry/v2/repositories" in dry_run.log
    assert not seeded.verify().ok
    with pytest.raises(SandboxError, match="unmounted already"):
        seeded.unmount_storage()
    seeded.mount_storage()
    assert seeded.stored_digests() == blobs
    with pytest.raises(SandboxError, match="is mounted"):
        seeded.mount_storage()


def test_to_another_cluster_s_api_all_blobs_are_orphans(seeded: Sandbox, kubectl: Kubectl) -> None:
    identity = seeded.get_object(CLUSTER_VERSIONS, CLUSTER_VERSION)["spec"]["clusterID"]
    blobs = seeded.stored_digests()
    seeded.become_other_cluster(images=20)
    assert seeded.get_object(CLUSTER_VERSIONS, CLUSTER_VERSION)["spec"]["clusterID"] != identity
    assert len(seeded.list_objects(IMAGES)) >= 20
    assert DryRun(seeded, kubectl).listed("blob") == blobs == seeded.stored_digests()


def test_on_4_9_the_configs_of_oci_images_are_taken(seeded: Sandbox, kubectl: Kubectl) -> None:
    before = DryRun(seeded, kubectl).listed("blob")
    seeded.order_pruner(PrunerFaults(takes_oci_configs=True))
    configs = {
        image["dockerImageMetadata"]["Id"]
        for image in seeded.list_objects(IMAGES)
        if image["dockerImageManifestMediaType"] == OCI_MANIFEST
    }
    assert configs
    assert DryRun(seeded, kubectl).listed("blob") - before == configs


class TestMultiArchitecture:
    @pytest.fixture
    def plan(self) -> SeedPlan:
        return SeedPlan(images=4, orphans=0, multi_architecture=True)

    def test_links_of_children_are_listed_and_no_blob(self, seeded: Sandbox, kubectl: Kubectl) -> None:
        dry_run = DryRun(seeded, kubectl)
        assert dry_run.summary == "Would delete 0 blobs"
        assert len(dry_run.listed("manifest link")) == 8
