"""The pod of the exact delete, as it is made from the registry's template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.registry_prune.exact_pod.manifest import exact_delete_pod, nodes_for
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.names import EXACT_DELETE_POD

SEAL = Seal(sha256="a" * 64, size_bytes=3, counts={"blob": 1, "manifest link": 0, "repository": 0}, head={"run": "r"})


@pytest.fixture
def deployment() -> dict[str, Any]:
    """As the operator makes it, with everything that a pod that serves has and this one must not."""
    probe = {"httpGet": {"path": "/healthz", "port": 5000}}
    return {
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": {"docker-registry": "default"},
                    "annotations": {"openshift.io/required-scc": "restricted-v2"},
                },
                "spec": {
                    "serviceAccountName": "registry",
                    "priorityClassName": "system-cluster-critical",
                    "tolerations": [{"key": "infra", "operator": "Exists"}],
                    "nodeSelector": {"node-role.kubernetes.io/infra": ""},
                    "affinity": {"podAntiAffinity": {}},
                    "topologySpreadConstraints": [{"maxSkew": 1}],
                    "terminationGracePeriodSeconds": 55,
                    "volumes": [{"name": "registry-storage", "persistentVolumeClaim": {"claimName": "c"}}],
                    "containers": [
                        {
                            "name": "registry",
                            "image": "quay.io/registry",
                            "command": ["/bin/sh", "-c", "exec /usr/bin/dockerregistry"],
                            "args": ["x"],
                            "ports": [{"containerPort": 5000}],
                            "env": [{"name": "REGISTRY_STORAGE", "value": "filesystem"}],
                            "volumeMounts": [{"name": "registry-storage", "mountPath": "/registry"}],
                            "livenessProbe": probe,
                            "readinessProbe": probe,
                            "startupProbe": probe,
                            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "25"]}}},
                            "securityContext": {"runAsNonRoot": True},
                        }
                    ],
                },
            },
        }
    }


def make(deployment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = {
        "image": "registry.test/registry-prune-small:1",
        "purpose": "delete",
        "window": "token-1",
        "kept_as": "run-1",
        "seal": SEAL,
        "deadline_seconds": 900.4,
        "list_seconds": 60.0,
    }
    return exact_delete_pod(deployment, **(given | changes))  # type: ignore[arg-type]


def test_it_has_all_that_reaches_the_storage_and_nothing_that_serves(deployment: dict[str, Any]) -> None:
    before = json.dumps(deployment)
    pod = make(deployment)
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert json.dumps(deployment) == before
    for name in ("serviceAccountName", "priorityClassName", "tolerations", "nodeSelector"):
        assert spec[name] == deployment["spec"]["template"]["spec"][name]
    assert {"name": "REGISTRY_STORAGE", "value": "filesystem"} in container["env"]
    assert {"name": "registry-storage", "mountPath": "/registry"} in container["volumeMounts"]
    for name in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "args"):
        assert name not in container
    assert "affinity" not in spec
    assert "topologySpreadConstraints" not in spec
    assert container["image"] == "registry.test/registry-prune-small:1"


def test_no_service_finds_it_and_network_policies_let_it_out(deployment: dict[str, Any]) -> None:
    labels = make(deployment)["metadata"]["labels"]
    assert labels["app"] == "image-pruner"
    assert "docker-registry" not in labels


def test_it_ends_by_itself_and_is_never_started_again(deployment: dict[str, Any]) -> None:
    spec = make(deployment)["spec"]
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 900)
    assert make(deployment, deadline_seconds=-3.0)["spec"]["activeDeadlineSeconds"] == 1


def test_it_has_one_name_for_all_runs(deployment: dict[str, Any]) -> None:
    pods = [make(deployment, window=window, purpose=purpose) for window in "ab" for purpose in ("delete", "undo")]
    assert {pod["metadata"]["name"] for pod in pods} == {EXACT_DELETE_POD}


def test_it_runs_as_any_user_with_a_read_only_root_and_without_an_account(deployment: dict[str, Any]) -> None:
    spec = make(deployment)["spec"]
    security = spec["containers"][0]["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False


def test_where_one_node_alone_may_mount_the_volume_it_is_on_that_node(deployment: dict[str, Any]) -> None:
    pods = [{"spec": {"nodeName": "b"}}, {"spec": {"nodeName": "a"}}, {"spec": {}}]
    assert nodes_for(deployment, pods) == ("a", "b")  # type: ignore[arg-type]
    (term,) = make(deployment, nodes=("a",))["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]
    deployment["spec"] |= {"replicas": 2, "strategy": {"type": "RollingUpdate"}}
    assert nodes_for(deployment, pods) == ()  # type: ignore[arg-type]
    deployment["spec"] |= {"replicas": 1}
    deployment["spec"]["template"]["spec"]["volumes"] = []
    assert nodes_for(deployment, pods) == ()  # type: ignore[arg-type]
