"""The real kubectl reads, watches and waits as in a cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.registry_objects import CONFIGS, REGISTRY
from tests.sandbox.server.running_server import Server

CONFIG = f"{CONFIGS}/cluster"
DEPLOYMENT = "deploy/image-registry"


def cells(line: str) -> list[str]:
    return line.split()


def test_version_and_resources_are_discovered(server: Server, kubectl: Kubectl) -> None:
    assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["minor"] == "36"
    listed = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", CONFIGS, "images.image.openshift.io"} <= set(listed)


def test_get_prints_the_tables_of_a_real_cluster(registry: Server, kubectl: Kubectl) -> None:
    pods = kubectl("get", "pods", "-n", REGISTRY).splitlines()
    assert cells(pods[0]) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert cells(pods[1])[:4] == ["image-registry-a", "1/1", "Running", "0"]
    assert cells(pods[2])[:4] == ["image-registry-b", "0/1", "ImagePullBackOff", "0"]
    deployments = kubectl("get", "deploy", "-n", REGISTRY).splitlines()
    assert cells(deployments[0]) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert cells(deployments[1])[:4] == ["image-registry", "1/1", "1", "1"]
    configs = kubectl("get", CONFIG).splitlines()
    assert cells(configs[0]) == ["NAME", "AGE"]
    assert cells(configs[1])[0] == "cluster"


def test_get_prints_jobs_images_and_image_streams(registry: Server, kubectl: Kubectl) -> None:
    def create() -> None:
        image = {"metadata": {"name": "sha256:ab"}, "dockerImageReference": "registry/shop/web@sha256:ab"}
        registry.store.create("images.image.openshift.io", image)
        stream = {
            "metadata": {"name": "web", "namespace": REGISTRY},
            "status": {
                "dockerImageRepository": "registry/shop/web",
                "tags": [{"tag": "v1", "items": [{"created": "2026-11-01T00:00:00Z", "image": "sha256:ab"}]}],
            },
        }
        registry.store.create("imagestreams.image.openshift.io", stream)
        job = {
            "metadata": {"name": "prune", "namespace": REGISTRY},
            "spec": {"template": {}},
            "status": {
                "succeeded": 1,
                "startTime": "2026-11-23T17:50:00Z",
                "completionTime": "2026-11-23T17:50:07Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        }
        registry.store.create("jobs.batch", job)

    registry.call(create)
    images = kubectl("get", "images").splitlines()
    assert images[0].split("  ")[0] == "NAME"
    assert "IMAGE REFERENCE" in images[0]
    assert cells(images[1]) == ["sha256:ab", "registry/shop/web@sha256:ab"]
    streams = kubectl("get", "is", "-n", REGISTRY).splitlines()
    assert cells(streams[1])[:3] == ["web", "registry/shop/web", "v1"]
    jobs = kubectl("get", "jobs", "-n", REGISTRY).splitlines()
    assert cells(jobs[1])[:4] == ["prune", "Complete", "1/1", "7s"]


def test_get_as_yaml_is_the_whole_object(registry: Server, kubectl: Kubectl) -> None:
    config = yaml.safe_load(kubectl("get", CONFIG, "-o", "yaml"))
    assert (config["kind"], config["apiVersion"]) == ("Config", "imageregistry.operator.openshift.io/v1")
    assert config["spec"] == {"managementState": "Managed", "readOnly": False, "replicas": 1}
    pods = yaml.safe_load(kubectl("get", "pods", "-n", REGISTRY, "-o", "yaml"))
    assert [pod["metadata"]["name"] for pod in pods["items"]] == ["image-registry-a", "image-registry-b"]


def test_get_with_custom_columns_and_selectors(registry: Server, kubectl: Kubectl) -> None:
    columns = "custom-columns=N:.metadata.name,NODE:.spec.nodeName"
    shown = kubectl(
        "get", "pods", "-n", REGISTRY, "-l", "docker-registry=default", "-o", columns, "--no-headers",
        "--field-selector", "status.phase=Running",
    )  # fmt: skip
    assert cells(shown) == ["image-registry-a", "node-0"]


def test_get_prints_a_long_list_in_chunks(registry: Server, kubectl: Kubectl) -> None:
    def create() -> None:
        for number in range(30):
            registry.store.create("configmaps", {"metadata": {"name": f"m-{number:02}", "namespace": REGISTRY}})

    registry.call(create)
    names = kubectl("get", "cm", "-n", REGISTRY, "--chunk-size=7", "--no-headers").splitlines()
    assert [cells(line)[0] for line in names] == [f"m-{number:02}" for number in range(30)]
    assert registry.counts.total(verb="list", resource="configmaps") == 5


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("pod", "image-registry-a", "-n", REGISTRY), ["Service Account:  registry", "State:          Running"]),
        (("deployment", "image-registry", "-n", REGISTRY), ["1 desired | 1 updated | 1 total | 1 available"]),
        ((CONFIGS, "cluster"), ["Management State:  Managed", "Read Only:         false"]),
        (("node", "node-0"), ["image-registry-a"]),
        (("clusterrole", "system:discovery"), ["/openapi/*"]),
        (("sa", "registry", "-n", REGISTRY), ["Name:                registry"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_describe(registry: Server, kubectl: Kubectl, arguments: tuple[str, ...], shown: list[str]) -> None:
    described = kubectl("describe", *arguments)
    for text in shown:
        assert text in described


def test_describe_shows_the_events_of_the_object(registry: Server, kubectl: Kubectl) -> None:
    def create() -> None:
        for pod in registry.store.list("pods", REGISTRY):
            metadata = pod["metadata"]
            registry.store.create(
                "events",
                {
                    "metadata": {"generateName": f"{metadata['name']}.", "namespace": REGISTRY},
                    "involvedObject": {
                        "kind": "Pod",
                        "namespace": REGISTRY,
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                    },
                    "type": "Warning",
                    "reason": "BackOff",
                    "message": f"about {metadata['name']}",
                    "lastTimestamp": "2026-11-23T17:50:00Z",
                },
            )

    registry.call(create)
    described = kubectl("describe", "pod", "image-registry-b", "-n", REGISTRY)
    assert "about image-registry-b" in described
    assert "about image-registry-a" not in described


def test_wait_for_a_condition_that_comes_later(registry: Server, kubectl: Kubectl) -> None:
    waiting = kubectl.start("wait", CONFIG, "--for=condition=Progressing=True", "--timeout=30s")
    registry.wait_for_requests(verb="watch", resource="configs")

    def progress(config: dict[str, Any]) -> None:
        config["status"]["conditions"][1]["status"] = "True"

    registry.call(registry.store.modify, CONFIGS, "cluster", None, progress, subresource="status")
    stdout, stderr = waiting.communicate(timeout=60)
    assert (waiting.returncode, stderr) == (0, "")
    assert stdout == "config.imageregistry.operator.openshift.io/cluster condition met\n"


def test_wait_for_a_jsonpath_and_for_deletion(registry: Server, kubectl: Kubectl) -> None:
    assert "condition met" in kubectl("wait", CONFIG, "--for=jsonpath={.spec.readOnly}=false", "--timeout=30s")
    waiting = kubectl.start("wait", "pod/image-registry-a", "-n", REGISTRY, "--for=delete", "--timeout=30s")
    registry.wait_for_requests(verb="watch", resource="pods")
    registry.call(registry.store.remove, "pods", "image-registry-a", REGISTRY)
    assert waiting.communicate(timeout=60)[0] == "pod/image-registry-a condition met\n"


def test_wait_gives_up_after_its_timeout(registry: Server, kubectl: Kubectl) -> None:
    done = kubectl.run("wait", CONFIG, "--for=condition=Progressing=True", "--timeout=1s")
    assert done.returncode == 1
    assert "timed out waiting for the condition on configs/cluster" in done.stderr


def test_rollout_status_follows_a_rollout(registry: Server, kubectl: Kubectl) -> None:
    assert kubectl("rollout", "status", DEPLOYMENT, "-n", REGISTRY, "--timeout=30s") == (
        'deployment "image-registry" successfully rolled out\n'
    )

    def halfway(deployment: dict[str, Any]) -> None:
        deployment["status"] |= {"updatedReplicas": 0}

    def done(deployment: dict[str, Any]) -> None:
        deployment["status"] |= {"updatedReplicas": 1}

    arguments = ("deployments.apps", "image-registry", REGISTRY)
    registry.call(registry.store.modify, *arguments, halfway, subresource="status")
    before = registry.counts.total(verb="watch", resource="deployments")
    following = kubectl.start("rollout", "status", DEPLOYMENT, "-n", REGISTRY, "--timeout=30s")
    registry.wait_for_requests(verb="watch", resource="deployments", more_than=before)
    registry.call(registry.store.modify, *arguments, done, subresource="status")
    stdout, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert stdout.splitlines() == [
        'Waiting for deployment "image-registry" rollout to finish: 0 out of 1 new replicas have been updated...',
        'deployment "image-registry" successfully rolled out',
    ]


def test_watch_prints_a_line_for_each_change(registry: Server, kubectl: Kubectl) -> None:
    configs = kubectl.start("get", CONFIG, "--watch", "-o", "jsonpath={.spec.readOnly}{'\\n'}")
    pods = kubectl.start("get", "pods", "-n", REGISTRY, "--watch", "--no-headers", "--output-watch-events")
    try:
        registry.wait_for_requests(verb="watch", resource="configs")
        registry.wait_for_requests(verb="watch", resource="pods")
        kubectl("patch", CONFIG, "--type", "merge", "-p", '{"spec":{"readOnly":true}}')
        registry.call(registry.store.delete, "pods", "image-registry-a", REGISTRY)
        registry.call(registry.store.remove, "pods", "image-registry-a", REGISTRY)
        assert configs.stdout is not None
        assert pods.stdout is not None
        assert [configs.stdout.readline() for _ in range(2)] == ["false\n", "true\n"]
        lines = [pods.stdout.readline().split()[:4] for _ in range(4)]
        assert lines == [
            ["ADDED", "image-registry-a", "1/1", "Running"],
            ["ADDED", "image-registry-b", "0/1", "ImagePullBackOff"],
            ["MODIFIED", "image-registry-a", "1/1", "Terminating"],
            ["DELETED", "image-registry-a", "1/1", "Terminating"],
        ]
    finally:
        for process in (configs, pods):
            process.kill()
            process.communicate()


def test_exec_and_logs(registry: Server, kubectl: Kubectl) -> None:
    in_pod = kubectl("exec", "-n", REGISTRY, "image-registry-a", "--", "echo", "it's", "a b")
    assert in_pod == "registry: echo it's a b\n"
    assert kubectl("exec", "-n", REGISTRY, DEPLOYMENT, "--", "true") == "registry: true\n"
    assert kubectl("logs", "-n", REGISTRY, "image-registry-a") == "first\nsecond\nthird\n"
    assert kubectl("logs", "-n", REGISTRY, "image-registry-a", "--tail=1") == "third\n"
    waiting = kubectl.run("logs", "-n", REGISTRY, "image-registry-b")
    assert 'container "registry" in pod "image-registry-b" is waiting to start: ImagePullBackOff' in waiting.stderr
