"""Whether the registry is as its Config says: every pod that exists, Terminating ones included."""

from __future__ import annotations

from typing import Any

from sandbox.base.names import READ_ONLY_VARIABLE


def is_read_only(pod_spec: dict[str, Any]) -> bool:
    """Whether a registry pod of that spec refuses pushes."""
    return any(
        variable["name"] == READ_ONLY_VARIABLE
        for container in pod_spec["containers"]
        for variable in container.get("env") or []
    )


def is_settled(config: dict[str, Any], deployment: dict[str, Any] | None, pods: list[dict[str, Any]]) -> bool:
    """Whether the last word of the Config has arrived in every registry pod.

    :param pods: all pods with the registry's label, in whatever state.
    """
    spec, status = config["spec"], config.get("status", {})
    if status.get("observedGeneration") != config["metadata"]["generation"]:
        return False
    if spec.get("managementState") == "Removed":
        return deployment is None and not pods
    if deployment is None or not _rolled_out(deployment):
        return False
    living = [pod for pod in pods if not _is_left_over(pod)]
    wanted = bool(spec.get("readOnly"))
    if spec.get("managementState") == "Unmanaged":
        wanted = is_read_only(deployment["spec"]["template"]["spec"])
    return (
        is_read_only(deployment["spec"]["template"]["spec"]) == wanted
        and len(living) == deployment["spec"]["replicas"]
        and all(is_read_only(pod["spec"]) == wanted and not pod["metadata"].get("deletionTimestamp") for pod in living)
    )


def _is_left_over(pod: dict[str, Any]) -> bool:
    """It has ended (it was evicted, say), serves nothing, and stays until it is deleted."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return ended and "deletionTimestamp" not in pod["metadata"]


def _rolled_out(deployment: dict[str, Any]) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and all(
        status.get(name, 0) == wanted for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    )
