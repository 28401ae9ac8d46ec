"""The conditions that the registry's operator reports, as its source computes them.

After ``pkg/operator/status.go`` and ``pkg/resource/clusteroperator.go`` of cluster-image-registry-operator.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sandbox.base import storage_kinds as registry_storage
from sandbox.kubelet.pod_status import set_condition

_UNAVAILABLE_INERTIA_SECONDS = 300
_NO_STORAGE = "storage backend not configured"
_UNMANAGED = "The registry configuration is set to unmanaged mode"


class Told(NamedTuple):
    """What a condition says."""

    value: bool
    reason: str = ""
    message: str = ""


def config_conditions(
    management_state: str,
    storage: dict[str, Any] | None,
    deployment: dict[str, Any] | None,
    present: list[dict[str, Any]],
) -> dict[str, Told]:
    """The conditions of the registry's Config.

    :param storage: ``spec.storage``.
    :param deployment: the registry's Deployment as the operator knows it; None if there is none.
    :param present: the conditions so far.
    """
    kind = registry_storage.kind_of(storage)
    available = _available(management_state, deployment)
    progressing = _progressing(management_state, deployment)
    degraded = _degraded(management_state, available, deployment, present)
    if management_state == "Managed" and kind is None:
        if deployment is None:
            available = Told(False, "StorageNotConfigured", _NO_STORAGE)
        progressing = Told(True, "Error", f"Unable to apply resources: {_NO_STORAGE}")
        degraded = Told(True, "StorageNotConfigured", f"Unable to apply resources: {_NO_STORAGE}")
    exists = {} if kind is None or kind.exists is None else {"StorageExists": Told(True, *kind.exists)}
    return {
        "Available": available,
        "Progressing": progressing,
        "Degraded": degraded,
        "Removed": Told(True, "Removed", "The registry is removed") if management_state == "Removed" else Told(False),
        **exists,
    }


def _available(management_state: str, deployment: dict[str, Any] | None) -> Told:
    if management_state == "Unmanaged":
        return Told(True, "Unmanaged", _UNMANAGED)
    if deployment is None:
        if management_state == "Removed":
            return Told(True, "Removed", "The registry is removed")
        return Told(False, "DeploymentNotFound", "The deployment does not exist")
    if "deletionTimestamp" in deployment["metadata"]:
        return Told(False, "DeploymentDeleted", "The deployment is being deleted")
    status = deployment.get("status", {})
    if not status.get("availableReplicas"):
        return Told(False, "NoReplicasAvailable", "The deployment does not have available replicas")
    if status["availableReplicas"] != status.get("replicas"):
        return Told(True, "MinimumAvailability", "The registry has minimum availability")
    return Told(True, "Ready", "The registry is ready")


def _progressing(management_state: str, deployment: dict[str, Any] | None) -> Told:
    if management_state == "Unmanaged":
        return Told(False, "Unmanaged", _UNMANAGED)
    if management_state == "Removed":
        if deployment is None:
            return Told(False, "Removed", "All registry resources are removed")
        return Told(True, "DeletingDeployment", "The deployment is being removed")
    if deployment is None:
        message = "All resources are successfully applied, but the deployment does not exist"
        return Told(True, "WaitingForDeployment", message)
    if "deletionTimestamp" in deployment["metadata"]:
        return Told(True, "FinalizingDeployment", "The deployment is being deleted")
    # The Deployment's observedGeneration is not looked at: right after a change this still is the old truth.
    if _progress_reason(deployment) != "NewReplicaSetAvailable":
        return Told(True, "DeploymentNotCompleted", "The deployment has not completed")
    return Told(False, "Ready", "The registry is ready")


def _degraded(
    management_state: str, available: Told, deployment: dict[str, Any] | None, present: list[dict[str, Any]]
) -> Told:
    if management_state == "Unmanaged":
        return Told(False, "Unmanaged", _UNMANAGED)
    if management_state == "Removed":
        return Told(False, "Removed", "The registry is removed")
    if not available.value:
        before = next((found for found in present if found["type"] == "Available"), None)
        if before is not None and before["status"] == "False":
            since = datetime.fromisoformat(before["lastTransitionTime"])
            if (datetime.now(UTC) - since).total_seconds() > _UNAVAILABLE_INERTIA_SECONDS:
                return Told(True, "Unavailable", available.message)
    elif deployment is not None and _progress_reason(deployment) == "ProgressDeadlineExceeded":
        message = "Registry deployment has timed out progressing: " + _progress(deployment)["message"]
        return Told(True, "ProgressDeadlineExceeded", message)
    return Told(False)


def _progress(deployment: dict[str, Any]) -> dict[str, Any]:
    conditions = deployment.get("status", {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == "Progressing"), {})


def _progress_reason(deployment: dict[str, Any]) -> str:
    return str(_progress(deployment).get("reason", ""))


def pruner_conditions(suspended: bool, cron_job_exists: bool, last_job: dict[str, Any] | None) -> dict[str, Told]:
    """The conditions of the ImagePruner.

    :param last_job: the finished Job in the namespace that was made last, whoever made it: the real operator
        drops its own label selector (``controllerimagepruner.go``: the result of ``Add`` is not used).
    """
    conditions = (last_job or {}).get("status", {}).get("conditions") or []
    failed = next((found for found in conditions if found["type"] == "Failed"), None)
    return {
        "Available": Told(True, "AsExpected", "Pruner CronJob has been created")
        if cron_job_exists
        else Told(False, "Error", "Pruner CronJob does not exist"),
        "Failed": Told(True, failed["reason"], failed["message"])
        if failed
        else Told(False, "Complete", "Pruner completed successfully"),
        "Scheduled": Told(False, "Suspended", "The pruner job has been suspended")
        if suspended
        else Told(True, "Scheduled", "The pruner job has been scheduled"),
        "Degraded": Told(True, "JobFailed", failed["message"]) if failed else Told(False, "AsExpected"),
    }


def union(config: list[dict[str, Any]], pruner: list[dict[str, Any]]) -> dict[str, Told]:
    """The conditions of the ClusterOperator: those of the Config and of the ImagePruner together."""
    all_conditions = config + [{**found, "type": f"ImagePruner{found['type']}"} for found in pruner]
    together = {}
    for type_, normal in (("Available", "True"), ("Progressing", "False"), ("Degraded", "False")):
        found = [condition for condition in all_conditions if condition["type"].endswith(type_)]
        unusual = [condition for condition in found if condition["status"] != normal]
        reasons = sorted(
            condition["type"].removesuffix(type_) + condition["reason"]
            for condition in found
            if condition.get("reason") not in (None, "", "AsExpected")
        )
        messages = [f"{condition['type']}: {condition['message']}" for condition in found if condition.get("message")]
        value = (unusual[0]["status"] if unusual else normal) == "True"
        together[type_] = Told(value, "::".join(reasons) or "AsExpected", "\n".join(messages))
    return together


def apply(status: dict[str, Any], conditions: dict[str, Told]) -> None:
    """Write conditions into a ``status``."""
    for type_, told in conditions.items():
        set_condition(status, type_, told.value, told.reason or None, told.message or None)
