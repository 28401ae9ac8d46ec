"""What the API server fills in when a built-in object leaves it open (only what has a reader here)."""

from __future__ import annotations

import base64
from collections.abc import Callable

from sandbox.server.errors import JsonObject
from sandbox.server.objects.resources import ResourceType


def with_defaults(resource_type: ResourceType, created: JsonObject) -> JsonObject:
    """The object, changed in place, with the defaults of its kind."""
    if fill := _FILLERS.get(resource_type.name):
        fill(created)
    return created


_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def _pod_spec(spec: JsonObject, restart_policy: str = "Always") -> None:
    spec.setdefault("restartPolicy", restart_policy)
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in spec.get("containers") or []:
        _container(container)


def _container(container: JsonObject) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", "IfNotPresent")
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe := container.get(name):
            for field, value in _PROBE.items():
                probe.setdefault(field, value)


def _pod(pod: JsonObject) -> None:
    spec = pod.setdefault("spec", {})
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("enableServiceLinks", True)
    _pod_spec(spec)
    pod.setdefault("status", {}).setdefault("phase", "Pending")


def _template(spec: JsonObject, restart_policy: str = "Always") -> JsonObject:
    template: JsonObject = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}), restart_policy)
    return template


def _deployment(deployment: JsonObject) -> None:
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(spec)
    deployment.setdefault("status", {})


def _replica_set(replica_set: JsonObject) -> None:
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)
    replica_set.setdefault("status", {}).setdefault("replicas", 0)


def _job(job: JsonObject) -> None:
    spec = job.setdefault("spec", {})
    _job_spec(spec)
    template = _template(spec, "Never")
    if not spec.get("manualSelector"):
        # The real server makes selector and labels from the Job's uid: pkg/registry/batch/job/strategy.go.
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        labels = template["metadata"].setdefault("labels", {})
        for prefix in ("batch.kubernetes.io/", ""):
            labels[f"{prefix}controller-uid"] = uid
            labels[f"{prefix}job-name"] = name
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    job.setdefault("status", {})


def _job_spec(spec: JsonObject) -> None:
    spec.setdefault("parallelism", 1)
    spec.setdefault("completions", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)


def _cron_job(cron_job: JsonObject) -> None:
    spec = cron_job.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    cron_job.setdefault("status", {})


def _namespace(namespace: JsonObject) -> None:
    namespace.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    namespace.setdefault("status", {}).setdefault("phase", "Active")
    labels = namespace["metadata"].setdefault("labels", {})
    labels.setdefault("kubernetes.io/metadata.name", namespace["metadata"]["name"])


def _secret(secret: JsonObject) -> None:
    secret.setdefault("type", "Opaque")
    for key, text in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _binding(binding: JsonObject) -> None:
    for subject in binding.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


_FILLERS: dict[str, Callable[[JsonObject], None]] = {
    "pods": _pod,
    "namespaces": _namespace,
    "secrets": _secret,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
}
