"""Objects that kubectl sends in protobuf arrive as those it would send in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sandbox.server.errors import ApiError
from sandbox.server.kubectl.protobuf import CONTENT_TYPE, decode_object
from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.running_server import Server

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "pruner"}},
    "spec": {
        "serviceAccountName": "pruner",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists", "tolerationSeconds": 300}],
        "securityContext": {"runAsNonRoot": True, "fsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 7,
                        "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", ""]}]},
                    }
                ]
            }
        },
        "volumes": [
            {"name": "trust", "configMap": {"name": "ca", "defaultMode": 420, "optional": False}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "limited", "emptyDir": {"sizeLimit": "64Mi"}},
            {
                "name": "token",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    ]
                },
            },
        ],
        "containers": [
            {
                "name": "pruner",
                "image": "cli:1",
                "command": ["oc", "adm", "prune", "images"],
                "args": ["--confirm=true", ""],
                "env": [
                    {"name": "A", "value": "ä"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                "volumeMounts": [{"name": "trust", "mountPath": "/ca", "readOnly": True}],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 5000, "scheme": "HTTPS"}},
                "livenessProbe": {"tcpSocket": {"port": "http"}},
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", "25"]}}},
            }
        ],
    },
}


def contains(whole: Any, part: Any) -> bool:
    """Is everything of ``part`` in ``whole``, which may have defaults besides?"""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_a_job_from_a_cron_job_has_its_whole_template(server: Server, kubectl: Kubectl) -> None:
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "image-pruner", "namespace": "default"},
        "spec": {
            "schedule": "0 0 * * *",
            "jobTemplate": {
                "metadata": {"labels": {"created-by": "image-pruner"}},
                "spec": {"backoffLimit": 0, "suspend": False, "template": TEMPLATE},
            },
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(cron_job))
    kubectl("create", "job", "now", "--from=cronjob/image-pruner")
    job = server.call(server.store.get, "jobs.batch", "now", "default")
    assert contains(job["spec"], {"backoffLimit": 0, "suspend": False, "template": TEMPLATE})
    assert job["metadata"]["labels"] == {"created-by": "image-pruner"}
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert job["metadata"]["ownerReferences"][0]["controller"] is True


@pytest.mark.parametrize(
    ("arguments", "resource", "name"),
    [
        (("configmap", "one", "--from-literal=a=b"), "configmaps", "one"),
        (("secret", "generic", "one", "--from-literal=a=b"), "secrets", "one"),
        (("serviceaccount", "one"), "serviceaccounts", "one"),
        (("namespace", "one"), "namespaces", "one"),
        (
            ("role", "one", "--verb=get,list", "--resource=pods,pods/exec", "--resource-name=a"),
            "roles.rbac.authorization.k8s.io",
            "one",
        ),
        (
            ("clusterrolebinding", "one", "--clusterrole=view", "--serviceaccount=a:b", "--group=g"),
            "clusterrolebindings.rbac.authorization.k8s.io",
            "one",
        ),
        (("deployment", "one", "--image=web:1", "--replicas=0", "--port=80"), "deployments.apps", "one"),
        (("cronjob", "one", "--image=web:1", "--schedule=1 2 * * *", "--", "true"), "cronjobs.batch", "one"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_kubectl_creates_is_what_it_prints_as_yaml(
    server: Server, kubectl: Kubectl, arguments: tuple[str, ...], resource: str, name: str
) -> None:
    printed = yaml.safe_load(kubectl("create", *arguments[:2], "--dry-run=client", "-o", "yaml", *arguments[2:]))
    kubectl("create", *arguments)
    namespace = None if resource.startswith(("namespaces", "cluster")) else "default"
    created = server.call(server.store.get, resource, name, namespace)
    for generated in ("status", "metadata"):
        printed.pop(generated, None)
    assert contains(created, without_nulls(printed))


def without_nulls(value: Any) -> Any:
    """Without what Go prints for an empty field."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item not in (None, {})}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def envelope(kind: bytes, message: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind)) + field(2, message)


def test_an_object_in_its_envelope() -> None:
    message = field(1, field(1, b"one") + field(11, field(1, b"a") + field(2, b"b")))
    assert decode_object(envelope(b"ConfigMap", message)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "one", "labels": {"a": "b"}},
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00", 400),
        (b"k8s\x00\xff", 400),
        (envelope(b"ConfigMap", field(1, b"x" * 20)[:-3]), 400),
        (envelope(b"Endpoints", b""), 415),
        (envelope(b"ConfigMap", field(9, b"x")), 415),
    ],
    ids=["json", "empty", "cut tag", "cut field", "unknown kind", "unknown field"],
)
def test_what_cannot_be_read_is_refused(data: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refusal:
        decode_object(data)
    assert refusal.value.code == code


def test_the_refusal_reaches_the_client(http: HttpClient) -> None:
    answer = http.post(
        "/api/v1/namespaces/default/configmaps",
        data=envelope(b"ConfigMap", field(9, b"x")),
        headers={"Content-Type": CONTENT_TYPE},
    )
    assert answer.status_code == 415
    assert "field 9 of ConfigMap" in answer.json()["message"]
