"""A sandbox whose registry keeps its blobs in a bucket: seed, pruners and verify work there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.base.errors import SandboxError
from sandbox.base.names import NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.seed import SeedPlan
from tests.sandbox.cluster_tools import Kubectl, names

ORPHANS = 30


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = SandboxSettings.quick(replicas=1, storage="s3")
    with Sandbox(tmp_path_factory.mktemp("bucket") / "sandbox", settings) as running:
        running.seed(SeedPlan(images=6, orphans=ORPHANS))
        yield running


def test_what_is_seeded_is_whole_and_what_is_pruned_is_gone(sandbox: Sandbox) -> None:
    kubectl = Kubectl(sandbox.kubeconfig)
    kubectl(
        "create", "clusterrolebinding", "pruner-for-test", "--clusterrole=system:image-pruner",
        f"--serviceaccount={NAMESPACE}:registry",
    )  # fmt: skip
    pod = names(sandbox.registry_pods())[0]
    report = sandbox.verify()
    assert report.orphans_left == ORPHANS
    assert not [problem for problem in report.problems if "clusterrolebinding" not in problem]

    prune = ("exec", pod, "-n", NAMESPACE, "--", "/usr/bin/dockerregistry")
    check = kubectl.run(*prune, "-prune=check")
    assert check.stdout.startswith(f"Would delete {ORPHANS} blobs\n"), check.stderr
    integrity = (*prune, "-experimental", "-restore-mode=check-database")
    broken_before = kubectl.run(*integrity).stdout
    before = sum(sandbox.object_storage.requests.values())
    delete = kubectl.run(*prune, "-prune=delete")
    assert delete.stdout.startswith(f"Deleted {ORPHANS} blobs\n"), delete.stderr
    # As the real one: about three requests for each orphan.
    assert sum(sandbox.object_storage.requests.values()) - before > 3 * ORPHANS
    assert sandbox.verify().orphans_left == 0
    # An Image that was deleted is named as broken before and after; the delete breaks none.
    assert kubectl.run(*integrity).stdout == broken_before
    assert not any((sandbox.state.storage).rglob("data"))


def test_a_registry_that_serves_is_refused_on_a_bucket(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="from a folder alone"):
        Sandbox(tmp_path / "x", SandboxSettings.quick(storage="s3", real_registry=True)).__enter__()
