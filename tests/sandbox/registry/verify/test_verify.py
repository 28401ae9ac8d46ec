"""``verify`` finds everything that a run must not leave behind, and every blob that is missing or damaged."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.names import CLUSTER, CONFIGS, IMAGE_PRUNERS, NAMESPACE
from sandbox.registry.api import IMAGES
from sandbox.registry.seed.seed import SeedPlan, seed
from sandbox.registry.storage.images import Image
from sandbox.registry.storage.layout import blob_data_path
from sandbox.registry.verify import verify as verifying
from sandbox.registry.verify.baseline import Baseline
from sandbox.registry.verify.verify import SandboxDownError, verify
from tests.sandbox.registry.registry_world import RegistryWorld
from tests.sandbox.registry.tiny_api import TinyApi

BINDINGS = "clusterrolebindings.rbac.authorization.k8s.io"
READ_ONLY = {"name": "REGISTRY_STORAGE_MAINTENANCE_READONLY", "value": "{enabled: true}"}


def binding(name: str, account: str, role: str = "system:image-pruner") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": account}],
    }


def registry_pod(name: str, *, env: list[dict[str, str]] | None = None, **metadata: str) -> dict[str, Any]:
    labels = {"docker-registry": "default"}
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, **metadata},
        "spec": {"containers": [{"name": "registry", "env": env or []}]},
        "status": {"phase": "Running"},
    }


def job(name: str, condition: str | None = None, **metadata: object) -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded"}] if condition else []
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "status": {"conditions": conditions},
    }


OWNED = {"ownerReferences": [{"kind": "CronJob", "name": "image-pruner"}]}
MANUAL = {"annotations": {"cronjob.kubernetes.io/instantiate": "manual"}}


@pytest.fixture
def clean(world: RegistryWorld, api: TinyApi) -> RegistryWorld:
    """A cluster as it was before any run, with images of every format."""
    api.put(CONFIGS, {"metadata": {"name": CLUSTER, "annotations": {"kept": "as it is"}}, "spec": {"replicas": 2}})
    api.put(IMAGE_PRUNERS, {"metadata": {"name": CLUSTER}, "spec": {"suspend": False, "schedule": ""}})
    api.put(BINDINGS, binding("openshift-image-registry-pruner", "pruner"))
    api.put("pods", registry_pod("image-registry-0"))
    api.put("jobs.batch", job("image-pruner-29000000", "Complete", **OWNED))
    seed(world.state, SeedPlan(images=20, orphans=15, size=9000))
    Baseline.take(lambda resource, _: api.of(resource)).write(world.state)
    return world


def problem(world: RegistryWorld) -> str:
    """The one problem that there is."""
    report = verify(world.state)
    assert not report.ok
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def managed(world: RegistryWorld) -> list[dict[str, Any]]:
    return world.api.of(IMAGES)


def test_a_clean_cluster_is_well_and_its_orphans_are_counted(clean: RegistryWorld) -> None:
    report = verify(clean.state)
    assert report.ok
    assert list(report.problems) == []
    assert report.images_checked == len(managed(clean)) > 20
    assert report.orphans_left == 15
    assert clean.run("-prune=delete").stdout.startswith("Deleted 15 blobs\n")
    report = verify(clean.state)
    assert (report.ok, report.orphans_left, report.orphaned_bytes_left) == (True, 0, 0)
    assert report.digests_checked == len(clean.digests())


def test_a_registry_that_is_still_read_only(clean: RegistryWorld, api: TinyApi) -> None:
    api.get(CONFIGS, CLUSTER)["spec"]["readOnly"] = True
    assert problem(clean) == f"{CONFIGS}/cluster: spec.readOnly is true: nothing can be pushed"


@pytest.mark.parametrize("terminating", [{}, {"deletionTimestamp": "2026-11-23T17:42:12Z"}])
def test_a_pod_that_is_still_read_only(clean: RegistryWorld, api: TinyApi, terminating: dict[str, str]) -> None:
    api.put("pods", registry_pod("image-registry-1", env=[READ_ONLY], **terminating))
    where = "pods/image-registry-1 (terminating)" if terminating else "pods/image-registry-1"
    assert problem(clean).startswith(f"{where}: it is read-only")


def test_pods_of_others_may_be_what_they_like(clean: RegistryWorld, api: TinyApi) -> None:
    other = registry_pod("node-ca", env=[READ_ONLY])
    other["metadata"]["labels"] = {"name": "node-ca"}
    api.put("pods", other)
    assert verify(clean.state).ok


def test_a_lease_that_was_left(clean: RegistryWorld, api: TinyApi) -> None:
    api.get(CONFIGS, CLUSTER)["metadata"]["annotations"]["example.com/lease"] = "run 7"
    assert problem(clean) == f"{CONFIGS}/cluster: annotation example.com/lease was left behind: run 7"


def test_an_annotation_that_was_changed(clean: RegistryWorld, api: TinyApi) -> None:
    api.get(CONFIGS, CLUSTER)["metadata"]["annotations"]["kept"] = "another"
    assert problem(clean) == f"{CONFIGS}/cluster: annotation kept was 'as it is' and is 'another'"


def test_a_grant_that_was_left(clean: RegistryWorld, api: TinyApi) -> None:
    api.put(BINDINGS, binding("system:image-pruner", "registry"))
    assert problem(clean) == (
        "clusterrolebindings/system:image-pruner: system:image-pruner is still granted to "
        "ServiceAccount openshift-image-registry/registry"
    )


def test_a_grant_that_was_taken_from_the_cluster(clean: RegistryWorld, api: TinyApi) -> None:
    api.remove(BINDINGS, "openshift-image-registry-pruner")
    assert problem(clean).startswith("clusterrolebindings/openshift-image-registry-pruner: it is gone")


def test_a_grant_that_has_another_subject(clean: RegistryWorld, api: TinyApi) -> None:
    api.put(BINDINGS, binding("openshift-image-registry-pruner", "registry"))
    assert "was granted to ServiceAccount openshift-image-registry/pruner, now to" in problem(clean)


def test_bindings_to_other_roles_do_not_matter(clean: RegistryWorld, api: TinyApi) -> None:
    api.put(BINDINGS, binding("view", "registry", role="view"))
    assert verify(clean.state).ok


def test_an_image_pruner_that_is_still_suspended(clean: RegistryWorld, api: TinyApi) -> None:
    api.get(IMAGE_PRUNERS, CLUSTER)["spec"]["suspend"] = True
    told = problem(clean)
    assert told.startswith("imagepruners/cluster: spec was {")
    assert "'suspend': True" in told.partition(" and is ")[2]


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (job("base-prune-7", "Failed"), "jobs/base-prune-7: it failed (BackoffLimitExceeded) and was left behind"),
        (job("base-prune-7", "Complete"), "jobs/base-prune-7: it has ended and was left behind"),
        (job("base-prune-7"), "jobs/base-prune-7: it is not over and was left behind"),
        (job("base-prune-7", "Complete", **OWNED, **MANUAL), "jobs/base-prune-7: it has ended and was left behind"),
        (job("image-pruner-1", "Failed", **OWNED), "jobs/image-pruner-1: it failed (BackoffLimitExceeded) and was"),
    ],
)
def test_a_job_that_was_left(clean: RegistryWorld, api: TinyApi, left: dict[str, Any], told: str) -> None:
    api.put("jobs.batch", left)
    assert problem(clean).startswith(told)


def test_a_job_of_the_clusters_own_schedule_does_not_matter(clean: RegistryWorld, api: TinyApi) -> None:
    api.put("jobs.batch", job("image-pruner-29001440", "Complete", **OWNED))
    assert verify(clean.state).ok


@contextmanager
def running(state_root: Path, *command_line: str) -> Iterator[int]:
    """A process with that command line and the environment of a pod."""
    idle = "import sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", idle, *command_line],
        env={"SANDBOX_STATE": str(state_root), "SANDBOX_POD_UID": "a7", "HOSTNAME": "image-registry-0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate()


def test_a_pruner_that_still_runs(clean: RegistryWorld) -> None:
    with running(clean.state.root, "/bin/dockerregistry", "-prune=delete") as pid:
        told = problem(clean)
    assert told.startswith(f"process {pid} in pod image-registry-0: ")
    assert told.endswith("/bin/dockerregistry -prune=delete still runs")
    assert verify(clean.state).ok


def test_pruners_of_other_sandboxes_and_other_processes_do_not_matter(clean: RegistryWorld, tmp_path: Path) -> None:
    with (
        running(tmp_path / "another", "/bin/dockerregistry", "-prune=delete"),
        running(clean.state.root, "/bin/dockerregistry", "-experimental"),
    ):
        assert verify(clean.state).ok


def first_image(world: RegistryWorld, *, with_children: bool = False) -> dict[str, Any]:
    return next(image for image in managed(world) if bool(image.get("dockerImageManifests")) == with_children)


@pytest.mark.parametrize("part", ["the manifest", "the config", "a layer", "a child manifest"])
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_blob_of_an_image_that_is_not_whole(clean: RegistryWorld, part: str, damage: str) -> None:
    image = first_image(clean, with_children=part == "a child manifest")
    digest = {
        "the manifest": lambda: image["metadata"]["name"],
        "the config": lambda: image["dockerImageMetadata"]["Id"],
        "a layer": lambda: image["dockerImageLayers"][-1]["name"],
        "a child manifest": lambda: image["dockerImageManifests"][0]["digest"],
    }[part]()
    if damage == "missing":
        clean.storage.remove_blob(digest)
    else:
        Path(f"{clean.state.storage}{blob_data_path(digest)}").write_bytes(b"{}")
    told = problem(clean)
    assert told.startswith(f"blob {digest}: ")
    assert damage in told
    # A child has an Image of its own, which may come first and call it its manifest.
    assert f"{part.split()[-1]} of image-registry.openshift-image-registry.svc:5000/" in told


def forget_objects(world: RegistryWorld, image: Image) -> None:
    """Leave only the Image of the list: what its architectures need is known from manifests alone."""
    for child in image.children:
        world.api.remove(IMAGES, child.manifest.digest)


def test_what_only_manifests_name_is_needed_too(clean: RegistryWorld) -> None:
    image = clean.push("tx/multi", clean.multi_architecture_image(), "latest")
    forget_objects(clean, image)
    report = verify(clean.state)
    assert (report.ok, report.orphans_left) == (True, 15)
    layer = image.children[1].layers[0].digest
    clean.storage.remove_blob(layer)
    assert problem(clean).startswith(f"blob {layer}: it is missing in the storage; it is a layer of ")


def test_the_config_that_the_pruner_takes_by_mistake_is_missed(clean: RegistryWorld) -> None:
    image = clean.push("tx/empty", clean.image(), "latest", media_type="")
    assert verify(clean.state).ok
    assert clean.run("-prune=delete").exit_code == 0
    assert image.config is not None
    assert problem(clean).startswith(f"blob {image.config.digest}: it is missing in the storage; it is the config")


def test_imported_images_have_their_content_elsewhere(clean: RegistryWorld, api: TinyApi) -> None:
    image = clean.push("tx/imported", clean.image(), "latest")
    del api.get(IMAGES, image.manifest.digest)["metadata"]["annotations"]["openshift.io/image.managed"]
    clean.storage.remove_blob(image.manifest.digest)
    report = verify(clean.state)
    assert report.ok
    # Yet what it names is no orphan: neither is it for the pruner.
    assert report.orphans_left == 15


def test_several_problems_are_all_told(clean: RegistryWorld, api: TinyApi) -> None:
    api.get(CONFIGS, CLUSTER)["spec"]["readOnly"] = True
    api.put(BINDINGS, binding("system:image-pruner", "registry"))
    clean.storage.remove_blob(first_image(clean)["metadata"]["name"])
    assert len(verify(clean.state).problems) == 3


def run_command(world: RegistryWorld) -> int:
    parser = argparse.ArgumentParser()
    verifying.add_arguments(parser)
    return verifying.run(parser.parse_args([]), world.state)


def test_the_command_prints_the_orphans_and_exits_with_0_if_all_is_well(
    clean: RegistryWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(clean) == 0
    assert "0 problems" in (told := capsys.readouterr().out)
    assert "orphans left: 15 (" in told


def test_the_command_prints_each_problem_and_exits_with_1(
    clean: RegistryWorld, api: TinyApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.get(CONFIGS, CLUSTER)["spec"]["readOnly"] = True
    assert run_command(clean) == 1
    assert f"PROBLEM {CONFIGS}/cluster: spec.readOnly is true" in capsys.readouterr().out


def test_the_command_exits_with_2_without_a_sandbox(clean: RegistryWorld, capsys: pytest.CaptureFixture[str]) -> None:
    clean.api.write_kubeconfig(clean.state.kubeconfig, server=f"http://127.0.0.1:{unused_port()}")
    assert run_command(clean) == 2
    assert "does not answer: Get " in capsys.readouterr().err
    clean.state.baseline.unlink()
    assert run_command(clean) == 2
    assert "no sandbox is up in" in capsys.readouterr().err
    with pytest.raises(SandboxDownError):
        verify(clean.state)


def unused_port() -> int:
    """Port 1 needs root to listen on: nobody does."""
    assert os.name == "posix"
    return 1
