"""The Deployment that the registry's operator makes from the Config.

After ``pkg/resource/deployment.go`` and ``podtemplatespec.go`` of cluster-image-registry-operator; volumes that hold
nothing in the sandbox are left out.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sandbox.base import storage_kinds as registry_storage
from sandbox.base.names import (
    CONTAINER,
    DEPLOYMENT,
    NAMESPACE,
    OPENSHIFT_VERSION,
    POD_LABELS,
    READ_ONLY_VARIABLE,
    SERVICE_ACCOUNT,
)
from sandbox.base.settings import SandboxSettings
from sandbox.server.objects.defaults import with_defaults
from sandbox.server.objects.resources import resource_type

CHECKSUM = "imageregistry.operator.openshift.io/checksum"
_IMAGE = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + hashlib.sha256(b"registry").hexdigest()
_PORT = 5000
_CA_TRUST = "ca-trust-extracted"
_START_SCRIPT = (
    "mkdir -p /etc/pki/ca-trust/extracted/edk2 /etc/pki/ca-trust/extracted/java "
    "/etc/pki/ca-trust/extracted/openssl /etc/pki/ca-trust/extracted/pem && "
    "update-ca-trust extract --output /etc/pki/ca-trust/extracted/ && exec /usr/bin/dockerregistry"
)


def registry_deployment(config: dict[str, Any], settings: SandboxSettings) -> dict[str, Any]:
    """The wanted Deployment, as the API would have it after a create (with defaults)."""
    spec = config["spec"]
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": DEPLOYMENT,
            "namespace": NAMESPACE,
            "labels": dict(POD_LABELS),
            "annotations": {"release.openshift.io/version": OPENSHIFT_VERSION},
        },
        "spec": {
            "replicas": spec["replicas"],
            "progressDeadlineSeconds": settings.progress_deadline,
            "selector": {"matchLabels": dict(POD_LABELS)},
            "strategy": _strategy(spec),
            "template": {
                "metadata": {
                    "labels": dict(POD_LABELS),
                    "annotations": {
                        "openshift.io/required-scc": "restricted-v2",
                        "target.workload.openshift.io/management": '{"effect": "PreferredDuringScheduling"}',
                    },
                },
                "spec": _pod_spec(spec, settings),
            },
        },
    }
    with_defaults(resource_type("deployments.apps"), deployment)
    deployment.pop("status", None)
    checksum = hashlib.sha256(json.dumps(deployment, sort_keys=True).encode()).hexdigest()
    deployment["metadata"]["annotations"][CHECKSUM] = f"sha256:{checksum}"
    return deployment


def _strategy(spec: dict[str, Any]) -> dict[str, Any]:
    if spec.get("rolloutStrategy") == "Recreate":
        return {"type": "Recreate"}
    bounds: dict[str, Any] = {"maxSurge": "25%", "maxUnavailable": max(spec["replicas"] - 1, 0)}
    if spec["replicas"] == 2:
        bounds = {"maxSurge": 1, "maxUnavailable": 1}
    return {"type": "RollingUpdate", "rollingUpdate": bounds}


def _pod_spec(spec: dict[str, Any], settings: SandboxSettings) -> dict[str, Any]:
    probe = {
        "httpGet": {"path": "/healthz", "port": _PORT, "scheme": "HTTPS"},
        "timeoutSeconds": 5,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    pod_spec: dict[str, Any] = {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": SERVICE_ACCOUNT,
        "terminationGracePeriodSeconds": settings.grace,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [
            {
                "name": CONTAINER,
                "image": _IMAGE,
                "command": ["/bin/sh", "-c", _START_SCRIPT],
                "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
                "env": _environment(spec),
                "volumeMounts": [
                    *registry_storage.volume_mounts(spec.get("storage")),
                    {"name": _CA_TRUST, "mountPath": "/etc/pki/ca-trust/extracted"},
                ],
                "livenessProbe": {**probe, "initialDelaySeconds": 5},
                "readinessProbe": {**probe, "initialDelaySeconds": int(settings.readiness)},
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", f"{settings.pre_stop:g}"]}}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {"readOnlyRootFilesystem": True},
            }
        ],
        "volumes": [*registry_storage.volumes(spec.get("storage")), {"name": _CA_TRUST, "emptyDir": {}}],
    }
    if spec["replicas"] == 2:
        pod_spec["affinity"] = {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {"matchLabels": dict(POD_LABELS)},
                        "namespaces": [NAMESPACE],
                        "topologyKey": "kubernetes.io/hostname",
                    }
                ]
            }
        }
    return pod_spec


def _environment(spec: dict[str, Any]) -> list[dict[str, str]]:
    log_level = "debug" if spec.get("logLevel") in ("Debug", "Trace", "TraceAll") else "info"
    variables = {
        **registry_storage.environment(spec.get("storage")),
        "REGISTRY_HTTP_ADDR": f":{_PORT}",
        "REGISTRY_HTTP_NET": "tcp",
        "REGISTRY_HTTP_SECRET": spec.get("httpSecret", ""),
        "REGISTRY_LOG_LEVEL": log_level,
        "REGISTRY_OPENSHIFT_QUOTA_ENABLED": "true",
        "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "inmemory",
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
        "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "true",
        "REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL": "10s",
        "REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD": "1",
        "REGISTRY_OPENSHIFT_METRICS_ENABLED": "true",
        "REGISTRY_OPENSHIFT_SERVER_ADDR": f"image-registry.{NAMESPACE}.svc:{_PORT}",
    }
    if spec.get("readOnly"):
        variables[READ_ONLY_VARIABLE] = "{enabled: true}"
    if spec.get("disableRedirect"):
        variables["REGISTRY_STORAGE_REDIRECT_DISABLE"] = "true"
    variables |= {
        "REGISTRY_HTTP_TLS_CERTIFICATE": "/etc/secrets/tls.crt",
        "REGISTRY_HTTP_TLS_KEY": "/etc/secrets/tls.key",
        # dockerregistry does not know this one and warns of it (transcripts/cluster/documented-procedure.txt).
        "REGISTRY_HTTP_TLS_MINVERSION": "VersionTLS12",
    }
    return [{"name": name, "value": value} for name, value in variables.items()]
