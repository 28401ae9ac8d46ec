"""The real kubectl patches, creates, applies and deletes as in a cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.registry_objects import CONFIGS, REGISTRY
from tests.sandbox.server.running_server import Server

CONFIG = f"{CONFIGS}/cluster"
DEPLOYMENT = "deploy/image-registry"


def patch_read_only(kubectl: Kubectl, value: str) -> subprocess.CompletedProcess[str]:
    return kubectl.run("patch", CONFIG, "--type", "merge", "-p", f'{{"spec":{{"readOnly":{value}}}}}')


def test_patch_says_whether_anything_changed(registry: Server, kubectl: Kubectl) -> None:
    assert patch_read_only(kubectl, "true").stdout == f"{config_name()} patched\n"
    assert patch_read_only(kubectl, "true").stdout == f"{config_name()} patched (no change)\n"
    generation = kubectl("get", CONFIG, "-o", "jsonpath={.metadata.generation} {.status.observedGeneration}")
    assert generation == "2 1"


def config_name() -> str:
    return "config.imageregistry.operator.openshift.io/cluster"


def test_patch_of_the_wrong_type_is_refused_in_the_real_words(registry: Server, kubectl: Kubectl) -> None:
    refused = patch_read_only(kubectl, '"yes"')
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        'The Config "cluster" is invalid: ',
        '* spec.readOnly: Invalid value: "string": spec.readOnly in body must be of type boolean: "string"',
        "* <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation",
    ]


def test_patch_strategic_json_scale_annotate_and_label(registry: Server, kubectl: Kubectl) -> None:
    env = [{"name": "A", "value": "1"}]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "registry", "env": env}]}}}}
    kubectl("patch", DEPLOYMENT, "-n", REGISTRY, "-p", json.dumps(patch))
    kubectl("set", "env", DEPLOYMENT, "-n", REGISTRY, "B=2", "A-")
    kubectl("scale", DEPLOYMENT, "-n", REGISTRY, "--replicas=3")
    operations = [{"op": "add", "path": "/metadata/annotations", "value": {"why": "test"}}]
    kubectl("patch", CONFIG, "--type", "json", "-p", json.dumps(operations))
    kubectl("annotate", CONFIG, "who=me")
    kubectl("label", "pods", "-n", REGISTRY, "-l", "docker-registry=default", "seen=yes")
    deployment = registry.call(registry.store.get, "deployments.apps", "image-registry", REGISTRY)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("registry:1", [{"name": "B", "value": "2"}])
    assert deployment["spec"]["replicas"] == 3
    config = registry.call(registry.store.get, CONFIGS, "cluster")
    assert config["metadata"]["annotations"] == {"why": "test", "who": "me"}
    assert len(registry.call(registry.store.list, "pods", REGISTRY, "seen=yes")) == 2


def test_strategic_merge_is_not_for_custom_resources(registry: Server, kubectl: Kubectl) -> None:
    refused = kubectl.run("patch", CONFIG, "--type", "strategic", "-p", '{"spec":{"readOnly":true}}')
    assert refused.returncode == 1
    assert "application/merge-patch+json" in refused.stderr


def test_delete_of_a_pod_waits_until_it_is_gone(registry: Server, kubectl: Kubectl) -> None:
    deleting = kubectl.start("delete", "pod", "image-registry-a", "-n", REGISTRY)
    registry.wait_for_requests(verb="watch", resource="pods")
    assert "deletionTimestamp" in registry.call(registry.store.get, "pods", "image-registry-a", REGISTRY)["metadata"]
    registry.call(registry.store.remove, "pods", "image-registry-a", REGISTRY)
    stdout, _ = deleting.communicate(timeout=60)
    assert deleting.returncode == 0
    assert stdout.startswith('pod "image-registry-a" deleted')
    assert kubectl.run("delete", "pod", "image-registry-a", "-n", REGISTRY).stderr == (
        'Error from server (NotFound): pods "image-registry-a" not found\n'
    )


MANIFESTS: list[dict[str, Any]] = [
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}]}]},
            },
        },
    },
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "default"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    },
    {
        "apiVersion": "imageregistry.operator.openshift.io/v1",
        "kind": "ImagePruner",
        "metadata": {"name": "cluster"},
        "spec": {"suspend": False, "schedule": ""},
    },
]


def write_manifests(path: Path) -> Path:
    path.write_text(yaml.safe_dump_all(MANIFESTS))
    return path


def test_create_and_delete_from_a_file(server: Server, kubectl: Kubectl, tmp_path: Path) -> None:
    file = str(write_manifests(tmp_path / "all.yaml"))
    assert kubectl("create", "-f", file).splitlines() == [
        "deployment.apps/web created",
        "job.batch/once created",
        "imagepruner.imageregistry.operator.openshift.io/cluster created",
    ]
    again = kubectl.run("create", "-f", file)
    assert again.returncode == 1
    assert 'deployments.apps "web" already exists' in again.stderr
    kubectl("delete", "-f", file)
    assert server.call(server.store.list, "jobs.batch") == []


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_apply_creates_changes_and_leaves_alone(
    server: Server, kubectl: Kubectl, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    file = write_manifests(tmp_path / "all.yaml")
    kubectl("apply", *flags, "-f", str(file))
    before = server.call(server.store.version, "deployments.apps")
    kubectl("apply", *flags, "-f", str(file))
    assert server.call(server.store.version, "deployments.apps") == before
    file.write_text(file.read_text().replace("web:1", "web:2").replace("suspend: false", "suspend: true"))
    kubectl("apply", *flags, "-f", str(file))
    deployment = server.call(server.store.get, "deployments.apps", "web", "default")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("web:2", [{"name": "A", "value": "1"}])
    pruners = server.call(server.store.list, "imagepruners.imageregistry.operator.openshift.io")
    assert pruners[0]["spec"] == {"suspend": True, "schedule": ""}
    assert pruners[0]["metadata"]["generation"] == 2


def test_apply_removes_what_the_file_no_longer_says(server: Server, kubectl: Kubectl, tmp_path: Path) -> None:
    file = write_manifests(tmp_path / "all.yaml")
    kubectl("apply", "-f", str(file))
    deployment = yaml.safe_load(json.dumps(MANIFESTS[0]))
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "2"}]
    file.write_text(yaml.safe_dump(deployment))
    kubectl("apply", "-f", str(file))
    applied = server.call(server.store.get, "deployments.apps", "web", "default")
    assert applied["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]


def test_a_dry_run_on_the_server_creates_nothing(server: Server, kubectl: Kubectl, tmp_path: Path) -> None:
    file = str(write_manifests(tmp_path / "all.yaml"))
    assert "created (server dry run)" in kubectl("create", "-f", file, "--dry-run=server")
    assert server.call(server.store.list, "deployments.apps") == []
