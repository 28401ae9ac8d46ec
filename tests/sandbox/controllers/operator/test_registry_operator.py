"""What the operator makes of a patch, in which order, and what a dead, slow or absent one does."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch
from urllib3.exceptions import ProtocolError

from sandbox.base.names import CLUSTER, CONFIGS, DEPLOYMENT, NAMESPACE, READ_ONLY_VARIABLE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.controllers.operator.settled import is_read_only
from tests.sandbox.cluster_tools import CONFIG, Kubectl, api_client, condition, eventually, names

DEPLOYMENTS = "deployments.apps"


class Recorder:
    """Every state of one object, from a watch."""

    def __init__(self, sandbox: Sandbox, call: Any, **where: Any) -> None:
        self.states: list[dict[str, Any]] = []
        self._watch = watch.Watch()
        self._stream = self._watch.stream(call, **where, _request_timeout=120)
        self._api = api_client(sandbox)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # The watch ends with the sandbox.
        with contextlib.suppress(ProtocolError):
            for event in self._stream:
                self.states.append(self._api.sanitize_for_serialization(event["object"]))

    def stop(self) -> None:
        self._watch.stop()


@pytest.fixture
def config_states(sandbox: Sandbox) -> Iterator[list[dict[str, Any]]]:
    api = client.CustomObjectsApi(api_client(sandbox))
    place = {"group": "imageregistry.operator.openshift.io", "version": "v1", "plural": "configs"}
    recorder = Recorder(sandbox, api.list_cluster_custom_object, **place)
    eventually(lambda: recorder.states, "the watch has begun")
    yield recorder.states
    recorder.stop()


@pytest.fixture
def deployment_states(sandbox: Sandbox) -> Iterator[list[dict[str, Any]]]:
    api = client.AppsV1Api(api_client(sandbox))
    recorder = Recorder(sandbox, api.list_namespaced_deployment, namespace=NAMESPACE)
    eventually(lambda: recorder.states, "the watch has begun")
    yield recorder.states
    recorder.stop()


def test_a_patch_rolls_every_pod(sandbox: Sandbox, kubectl: Kubectl) -> None:
    before = names(sandbox.registry_pods())
    assert "patched" in kubectl.patch_config(readOnly=True)
    sandbox.wait_until_settled()
    pods = sandbox.registry_pods()
    assert len(pods) == 2
    assert not set(names(pods)) & set(before)
    for name in names(pods):
        assert kubectl.shell(name, f"echo ${READ_ONLY_VARIABLE}") == "{enabled: true}"
    kubectl.patch_config(readOnly=False)
    sandbox.wait_until_settled()
    for name in names(sandbox.registry_pods()):
        assert kubectl.shell(name, f"echo ${READ_ONLY_VARIABLE}") == ""


def test_the_first_template_gets_its_first_replica_set_back(sandbox: Sandbox, kubectl: Kubectl) -> None:
    first = {pod["metadata"]["labels"]["pod-template-hash"] for pod in sandbox.registry_pods()}
    for read_only in (True, False):
        kubectl.patch_config(readOnly=read_only)
        sandbox.wait_until_settled()
    assert {pod["metadata"]["labels"]["pod-template-hash"] for pod in sandbox.registry_pods()} == first


def test_the_same_patch_again_changes_nothing(kubectl: Kubectl) -> None:
    assert "no change" in kubectl.patch_config(readOnly=False)


def test_the_config_is_observed_while_progressing_still_says_false(
    sandbox: Sandbox, config_states: list[dict[str, Any]]
) -> None:
    sandbox.configure_registry(readOnly=True)
    sandbox.wait_until_settled()

    def observed() -> list[dict[str, Any]]:
        return [
            condition(state, "Progressing")
            for state in list(config_states)
            if state["spec"]["readOnly"] and state["metadata"]["generation"] == state["status"]["observedGeneration"]
        ]

    eventually(
        lambda: "DeploymentNotCompleted" in [progressing["reason"] for progressing in observed()],
        "the watch has seen the rollout",
    )
    assert observed()[0]["status"] == "False"


def test_the_deployment_is_observed_while_its_condition_is_the_old_one(
    sandbox: Sandbox, deployment_states: list[dict[str, Any]]
) -> None:
    sandbox.configure_registry(readOnly=True)
    sandbox.wait_until_settled()

    def new() -> list[dict[str, Any]]:
        return [state for state in list(deployment_states) if is_read_only(state["spec"]["template"]["spec"])]

    def observed() -> list[dict[str, Any]]:
        return [state for state in new() if state["status"]["observedGeneration"] == state["metadata"]["generation"]]

    eventually(
        lambda: "ReplicaSetUpdated" in [condition(state, "Progressing")["reason"] for state in observed()],
        "the watch has seen the rollout",
    )
    assert new()[0]["status"]["observedGeneration"] < new()[0]["metadata"]["generation"]
    assert "updatedReplicas" not in observed()[0]["status"]
    assert condition(observed()[0], "Progressing")["reason"] == "NewReplicaSetAvailable"


class TestLongGoodbye:
    """Old pods live on after they were told to go, until somebody ends them by force."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(nodes=5, pre_stop=3600, grace=7200)

    def test_old_pods_serve_on_when_everything_says_done(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        kubectl.patch_config(readOnly=True)
        eventually(
            lambda: is_read_only(sandbox.get_object(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)["spec"]["template"]["spec"]),
            "the operator has changed the template",
        )
        kubectl("rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=90s")
        eventually(
            lambda: condition(sandbox.get_object(CONFIGS, CLUSTER), "Progressing")["reason"] == "Ready",
            "the operator says that all is done",
        )
        old = [pod for pod in sandbox.registry_pods() if not is_read_only(pod["spec"])]
        assert old
        assert all("deletionTimestamp" in pod["metadata"] for pod in old)
        assert not sandbox.settled()
        assert kubectl.shell(names(old)[-1], f'echo "${{{READ_ONLY_VARIABLE}-writable}}"') == "writable"
        kubectl("delete", "pods", *names(old), "--force", "--grace-period=0")
        sandbox.wait_until_settled()
        assert all(is_read_only(pod["spec"]) for pod in sandbox.registry_pods())


class TestDraining:
    """Uploads keep an old pod busy longer than its grace allows."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(drain=30.0, grace=1)

    def test_the_grace_ends_a_pod_that_does_not_end(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        kubectl("delete", "pod", pod)
        assert pod not in names(sandbox.registry_pods())


def test_until_the_operator_looks_rollout_status_is_about_the_old_template(sandbox: Sandbox, kubectl: Kubectl) -> None:
    """A dead operator lets the patch be accepted, and nothing happens."""
    before = names(sandbox.registry_pods())
    sandbox.stop_operator()
    kubectl.patch_config(readOnly=True)
    assert "successfully rolled out" in kubectl("rollout", "status", f"deployment/{DEPLOYMENT}")
    told = json.loads(kubectl("get", CONFIG, "-o", "json"))
    assert told["status"]["observedGeneration"] < told["metadata"]["generation"]
    assert names(sandbox.registry_pods()) == before
    assert not sandbox.settled()
    sandbox.start_operator()
    sandbox.wait_until_settled()
    assert all(is_read_only(pod["spec"]) for pod in sandbox.registry_pods())


def test_an_unmanaged_registry_ignores_the_patch(sandbox: Sandbox, kubectl: Kubectl) -> None:
    kubectl.patch_config(managementState="Unmanaged")
    kubectl("wait", CONFIG, "--for=jsonpath={.status.conditions[?(@.type=='Available')].reason}=Unmanaged")
    generation = sandbox.get_object(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)["metadata"]["generation"]
    kubectl.patch_config(readOnly=True)
    eventually(
        lambda: (
            (config := sandbox.get_object(CONFIGS, CLUSTER))["status"]["observedGeneration"]
            == config["metadata"]["generation"]
        ),
        "the patch is observed",
    )
    assert condition(sandbox.get_object(CONFIGS, CLUSTER), "Progressing")["status"] == "False"
    assert sandbox.get_object(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)["metadata"]["generation"] == generation


def test_a_removed_registry_has_no_deployment_and_comes_back(
    sandbox: Sandbox, kubectl: Kubectl, config_states: list[dict[str, Any]]
) -> None:
    kubectl.patch_config(managementState="Removed")
    sandbox.wait_until_settled()
    eventually(
        lambda: condition(sandbox.get_object(CONFIGS, CLUSTER), "Progressing").get("reason") == "Removed",
        "the operator says that all is removed",
    )
    eventually(
        lambda: "DeploymentDeleted" in [condition(state, "Available").get("reason") for state in list(config_states)],
        "the watch has seen that the Deployment was deleted",
    )
    missing = kubectl.run("exec", f"deploy/{DEPLOYMENT}", "--", "true")
    assert f'deployments.apps "{DEPLOYMENT}" not found' in missing.stderr
    kubectl.patch_config(managementState="Managed")
    sandbox.wait_until_settled()
    assert len(sandbox.registry_pods()) == 2


def test_the_operator_undoes_changes_to_its_deployment(sandbox: Sandbox, kubectl: Kubectl) -> None:
    kubectl("set", "env", f"deployment/{DEPLOYMENT}", f"{READ_ONLY_VARIABLE}={{enabled: true}}")
    eventually(
        lambda: not is_read_only(sandbox.get_object(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)["spec"]["template"]["spec"]),
        "the variable is gone again",
    )
    kubectl("scale", f"deployment/{DEPLOYMENT}", "--replicas=0")
    eventually(
        lambda: sandbox.get_object(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)["spec"]["replicas"] == 2,
        "the replicas are back",
    )
    sandbox.wait_until_settled()


@pytest.mark.parametrize("replicas", [1, 3])
def test_replicas_follow_the_config(sandbox: Sandbox, kubectl: Kubectl, replicas: int) -> None:
    kubectl.patch_config(replicas=replicas)
    sandbox.wait_until_settled()
    kubectl.patch_config(readOnly=True)
    sandbox.wait_until_settled()
    pods = sandbox.registry_pods()
    assert len(pods) == replicas
    assert all(is_read_only(pod["spec"]) for pod in pods)


def test_pods_that_never_get_ready_hold_the_rollout_and_the_operator_sees_nothing_degraded(
    sandbox: Sandbox, kubectl: Kubectl
) -> None:
    sandbox.hold_readiness()
    kubectl.patch_config(readOnly=True)
    eventually(
        lambda: condition(sandbox.get_object(CONFIGS, CLUSTER), "Progressing")["status"] == "True", "it progresses"
    )
    waiting = kubectl.run("rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=2s")
    assert waiting.returncode == 1
    assert condition(sandbox.get_object(CONFIGS, CLUSTER), "Degraded")["status"] == "False"
    sandbox.allow_readiness()
    sandbox.wait_until_settled()


class TestDeadline:
    """The rollout has a second."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(progress_deadline=1)

    def test_a_rollout_over_its_deadline_is_degraded(self, sandbox: Sandbox) -> None:
        sandbox.hold_readiness()
        sandbox.configure_registry(readOnly=True)
        eventually(
            lambda: (
                condition(sandbox.get_object(CONFIGS, CLUSTER), "Degraded").get("reason") == "ProgressDeadlineExceeded"
            ),
            "the operator sees the deadline",
        )
