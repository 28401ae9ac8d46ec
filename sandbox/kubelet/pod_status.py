"""A pod's ``status`` as its kubelet reports it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sandbox.kubelet.containers.container import Container
from sandbox.server.objects.metadata import timestamp

NODE_NETWORK = ipaddress.ip_network("10.0.0.0/24")
POD_NETWORK = ipaddress.ip_network("10.128.0.0/14")


def set_condition(
    status: dict[str, Any], type_: str, value: bool | str, reason: str | None = None, message: str | None = None
) -> None:
    """Set one of ``status.conditions``; ``lastTransitionTime`` moves only when its status changes."""
    conditions: list[dict[str, Any]] = status.setdefault("conditions", [])
    wanted = value if isinstance(value, str) else str(value)
    condition = next((found for found in conditions if found["type"] == type_), None)
    if condition is None:
        condition = {"type": type_}
        conditions.append(condition)
    if condition.get("status") != wanted:
        condition["lastTransitionTime"] = timestamp()
    condition["status"] = wanted
    for name, text in (("reason", reason), ("message", message)):
        if text is None:
            condition.pop(name, None)
        else:
            condition[name] = text


def phase_of(containers: Sequence[Container], ended: bool) -> str:
    """Phase of a pod.

    :param ended: none of its containers will be started again.
    """
    if ended and containers:
        failed = any(found.termination and found.termination.exit_code for found in containers)
        return "Failed" if failed else "Succeeded"
    return "Running" if any(found.has_started for found in containers) else "Pending"


def report(
    status: dict[str, Any],
    containers: Sequence[Container],
    *,
    phase: str,
    pod_ip: str,
    host_ip: str,
    started_at: datetime,
) -> None:
    """Write into a pod's ``status`` how its containers are."""
    over = phase in ("Succeeded", "Failed")
    status["phase"] = phase
    status["startTime"] = timestamp(started_at)
    status["hostIP"], status["hostIPs"] = host_ip, [{"ip": host_ip}]
    status["qosClass"] = "Burstable"
    if any(container.has_started for container in containers):
        status["podIP"], status["podIPs"] = pod_ip, [{"ip": pod_ip}]
    status["containerStatuses"] = [container.status() for container in containers]
    unready = [container.name for container in containers if not container.ready]
    reason = message = None
    if over:
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    elif unready:
        reason = "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"
    set_condition(status, "PodReadyToStartContainers", not over)
    set_condition(status, "Initialized", value=True, reason="PodCompleted" if phase == "Succeeded" else None)
    set_condition(status, "Ready", not unready, reason, message)
    set_condition(status, "ContainersReady", not unready, reason, message)
