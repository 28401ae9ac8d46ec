"""Builds: their way through their phases, and what a read-only registry does to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client, watch

from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.controllers.builds import BUILDS
from sandbox.real_registry.program import NOT_INSTALLED, find_program
from sandbox.registry.api import IMAGE_STREAMS
from sandbox.server.errors import ApiError
from tests.sandbox.cluster_tools import Kubectl, api_client, eventually

ENDED = ("Complete", "Failed")
PUSH_FAILED = ("Failed", "PushImageToRegistryFailed")


def status_of(sandbox: Sandbox, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.get_object(BUILDS, name, namespace)["status"]
    return found


def ended(sandbox: Sandbox, namespace: str, name: str) -> dict[str, Any]:
    eventually(lambda: status_of(sandbox, namespace, name)["phase"] in ENDED, "the build ends")
    return status_of(sandbox, namespace, name)


needs_registry = pytest.mark.skipif(find_program(None) is None, reason=NOT_INSTALLED)


@pytest.fixture(params=[pytest.param(True, id="serving", marks=needs_registry), pytest.param(False, id="idling")])
def settings(request: pytest.FixtureRequest) -> SandboxSettings:
    return SandboxSettings.quick(real_registry=request.param)


def test_a_build_whose_push_falls_into_a_window_fails_and_one_after_it_succeeds(sandbox: Sandbox) -> None:
    sandbox.configure_registry(readOnly=True)
    sandbox.wait_until_settled()
    sandbox.start_build("shop", "app-1", seconds=0)
    status = ended(sandbox, "shop", "app-1")
    assert (status["phase"], status["reason"]) == PUSH_FAILED
    assert status["message"] == "Failed to push the image to the registry."
    assert "405" in status["logSnippet"]
    assert status["outputDockerImageReference"].endswith(".svc:5000/shop/app:latest")
    sandbox.configure_registry(readOnly=False)
    sandbox.wait_until_settled()
    sandbox.start_build("shop", "app-2", seconds=0)
    assert ended(sandbox, "shop", "app-2")["phase"] == "Complete"


@needs_registry
class TestServing:
    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(replicas=1, real_registry=True)

    def test_what_a_build_has_pushed_is_in_the_image_stream(self, sandbox: Sandbox) -> None:
        sandbox.start_build("shop", "app-1", output="shop/app:v7", seconds=0)
        digest = ended(sandbox, "shop", "app-1")["output"]["to"]["imageDigest"]
        eventually(
            lambda: any(stream["metadata"]["name"] == "app" for stream in sandbox.list_objects(IMAGE_STREAMS, "shop")),
            "the push is known",
        )
        (tag,) = sandbox.get_object(IMAGE_STREAMS, "app", "shop")["status"]["tags"]
        assert (tag["tag"], tag["items"][0]["image"]) == ("v7", digest)
        assert sandbox.verify().ok


class TestIdling:
    """Where nothing is pushed for real, it is quicker."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(replicas=1, real_registry=False)

    def test_only_pushes_to_this_cluster_s_registry_fail(self, sandbox: Sandbox) -> None:
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled()
        sandbox.start_build("shop", "elsewhere", output="quay.io/shop/app:latest", seconds=0)
        sandbox.start_build("shop", "nowhere", output="", seconds=0)
        assert ended(sandbox, "shop", "elsewhere")["phase"] == "Complete"
        assert ended(sandbox, "shop", "nowhere")["phase"] == "Complete"

    def test_a_build_fails_where_no_pod_is_ready(self, sandbox: Sandbox) -> None:
        sandbox.configure_registry(replicas=0)
        sandbox.wait_until_settled()
        sandbox.start_build("shop", "app-1", seconds=0)
        status = ended(sandbox, "shop", "app-1")
        assert (status["phase"], status["reason"]) == PUSH_FAILED

    def test_a_running_build_can_be_watched_selected_and_ended_by_somebody_else(
        self, sandbox: Sandbox, kubectl: Kubectl
    ) -> None:
        sandbox.start_build("shop", "long", seconds=3600)
        custom = client.CustomObjectsApi(api_client(sandbox))
        phases = []
        for event in watch.Watch().stream(
            custom.list_cluster_custom_object, "build.openshift.io", "v1", "builds", timeout_seconds=90
        ):
            phases.append(event["object"]["status"]["phase"])
            if phases[-1] == "Running":
                break
        assert phases[-1] == "Running"
        listed = ("get", "builds", "--all-namespaces", "--no-headers", "--field-selector")
        assert "long" in kubectl(*listed, "status=Running")
        assert kubectl(*listed, "status=Complete") == ""
        patch = json.dumps({"status": {"phase": "Cancelled"}})
        kubectl("patch", "build", "long", "--namespace=shop", "--type=merge", "--patch", patch)
        assert status_of(sandbox, "shop", "long")["phase"] == "Cancelled"

    def test_a_build_that_was_created_running_is_left_alone(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        build = {
            "apiVersion": "build.openshift.io/v1",
            "kind": "Build",
            "metadata": {"name": "by-hand", "namespace": "default"},
            "spec": {"output": {"to": {"kind": "ImageStreamTag", "name": "app:latest"}}},
            "status": {"phase": "Running"},
        }
        kubectl("create", "--namespace=default", "-f", "-", stdin=json.dumps(build))
        sandbox.start_build("default", "later", seconds=0)
        ended(sandbox, "default", "later")
        assert status_of(sandbox, "default", "by-hand") == {"phase": "Running"}

    def test_what_cannot_be_is_said(self, sandbox: Sandbox) -> None:
        with pytest.raises(ValueError, match="write NAMESPACE/NAME:TAG"):
            sandbox.start_build("shop", "app-1", output="app")
        sandbox.start_build("shop", "app-1", seconds=3600)
        with pytest.raises(ApiError, match="already exists"):
            sandbox.start_build("shop", "app-1")

    def test_the_base_pruner_s_account_may_list_builds(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        account = "--as=system:serviceaccount:openshift-image-registry:pruner"
        assert kubectl("auth", "can-i", "list", "builds.build.openshift.io", "--all-namespaces", account) == "yes"
        assert kubectl.run("auth", "can-i", "create", "builds.build.openshift.io", account).stdout == "no\n"
