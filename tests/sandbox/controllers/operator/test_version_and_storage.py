"""What a cluster tells of itself: its version, and where its registry keeps the blobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.names import CLUSTER, CLUSTER_VERSION, CLUSTER_VERSIONS, CONFIGS, DEPLOYMENT, NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.seed import SeedPlan
from tests.sandbox.cluster_tools import Kubectl, condition, eventually, names


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("shared")) as running:
        running.seed(SeedPlan(images=3, orphans=5))
        yield running


class TestVersion:
    @pytest.fixture
    def sandbox(self, shared: Sandbox) -> Sandbox:
        return shared

    def test_it_can_be_set_and_the_history_keeps_the_earlier_ones(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        first = sandbox.get_object(CLUSTER_VERSIONS, CLUSTER_VERSION)["status"]["desired"]["version"]
        sandbox.set_cluster_version("4.9.17")
        status = sandbox.get_object(CLUSTER_VERSIONS, CLUSTER_VERSION)["status"]
        assert status["desired"]["version"] == "4.9.17"
        assert [entry["version"] for entry in status["history"]] == ["4.9.17", first]
        assert [entry["state"] for entry in status["history"]] == ["Completed", "Completed"]
        assert "4.9.17" in kubectl("get", "clusterversion")
        eventually(lambda: "4.9.17" in kubectl("get", "clusteroperator", "image-registry"), "its operator says so")

    def test_an_update_can_be_under_way(self, sandbox: Sandbox) -> None:
        sandbox.set_cluster_version("4.19.1", completed=False)
        status = sandbox.get_object(CLUSTER_VERSIONS, CLUSTER_VERSION)["status"]
        assert status["history"][0]["state"] == "Partial"
        assert "completionTime" not in status["history"][0]
        assert condition({"status": status}, "Progressing")["status"] == "True"

    def test_what_is_no_version_is_refused(self, sandbox: Sandbox) -> None:
        with pytest.raises(ValueError, match="no version of a cluster"):
            sandbox.set_cluster_version("latest")


class TestStorage:
    @pytest.fixture
    def sandbox(self, shared: Sandbox) -> Sandbox:
        return shared

    @pytest.mark.parametrize(
        ("kind", "driver", "source"),
        [
            ("s3", "s3", None),
            ("swift", "swift", None),
            ("emptyDir", "filesystem", {"emptyDir": {}}),
            ("pvc", "filesystem", {"persistentVolumeClaim": {"claimName": "image-registry-storage"}}),
        ],
    )
    def test_config_deployment_and_pods_tell_the_same(
        self, sandbox: Sandbox, kubectl: Kubectl, kind: str, driver: str, source: dict[str, Any] | None
    ) -> None:
        sandbox.configure_registry(storage=kind)
        sandbox.wait_until_settled()
        config = sandbox.get_object(CONFIGS, CLUSTER)
        assert kind in config["status"]["storage"]
        assert config["status"]["storageManaged"] is (kind in ("s3", "swift"))
        spec = sandbox.get_object("deployments.apps", DEPLOYMENT, NAMESPACE)["spec"]["template"]["spec"]
        variables = {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}
        assert variables["REGISTRY_STORAGE"] == driver
        found = [volume for volume in spec["volumes"] if volume["name"] == "registry-storage"]
        assert found == ([] if source is None else [{"name": "registry-storage", **source}])
        assert ("REGISTRY_STORAGE_S3_BUCKET" in variables) is (kind == "s3")

    @pytest.mark.parametrize("kind", ["s3", "swift"])
    def test_the_pruner_works_on_the_same_blobs_whatever_is_told(
        self, sandbox: Sandbox, kubectl: Kubectl, kind: str
    ) -> None:
        binding = ("clusterrolebinding", "system:image-pruner")
        account = f"--serviceaccount={NAMESPACE}:registry"
        kubectl("create", *binding, "--clusterrole=system:image-pruner", account)
        sandbox.configure_registry(storage=kind)
        sandbox.wait_until_settled()
        pod = names(sandbox.registry_pods())[0]
        told = kubectl.run("exec", pod, "--", "/usr/bin/dockerregistry", "-prune=check")
        assert told.stdout.startswith("Would delete 5 blobs\n"), told.stderr
        kubectl("delete", *binding)

    def test_without_storage_the_operator_says_so_and_changes_nothing(self, sandbox: Sandbox) -> None:
        sandbox.wait_until_settled()
        before = sandbox.get_object("deployments.apps", DEPLOYMENT, NAMESPACE)["metadata"]["generation"]
        sandbox.configure_registry(storage="none", readOnly=True)
        degraded = eventually(
            lambda: (
                (found := condition(sandbox.get_object(CONFIGS, CLUSTER), "Degraded"))["status"] == "True" and found
            ),
            "it is degraded",
        )
        assert degraded["reason"] == "StorageNotConfigured"
        assert degraded["message"] == "Unable to apply resources: storage backend not configured"
        assert sandbox.get_object(CONFIGS, CLUSTER)["status"]["storage"] == {}
        assert sandbox.get_object("deployments.apps", DEPLOYMENT, NAMESPACE)["metadata"]["generation"] == before
        sandbox.configure_registry(storage="pvc", readOnly=False)
        sandbox.wait_until_settled()

    def test_an_unknown_kind_is_refused(self, sandbox: Sandbox) -> None:
        with pytest.raises(ValueError, match="there is no storage 'tape'; there is: pvc, "):
            sandbox.configure_registry(storage="tape")


def test_a_cluster_can_come_up_without_storage_or_with_another_kind(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "none", SandboxSettings.quick(storage="none")) as bare:
        assert bare.get_object(CONFIGS, CLUSTER)["spec"]["managementState"] == "Removed"
        assert bare.registry_pods() == []
    with Sandbox(tmp_path / "s3", SandboxSettings.quick(storage="s3", replicas=1)) as sandbox:
        assert "s3" in sandbox.get_object(CONFIGS, CLUSTER)["status"]["storage"]
    with pytest.raises(ValueError, match="there is no storage 'tape'"):
        SandboxSettings.quick(storage="tape")
