"""READY, STATUS and RESTARTS of a pod, as ``printPod`` of the real server works them out."""

from __future__ import annotations

from sandbox.server.errors import JsonObject


def ready(pod: JsonObject) -> str:
    """``1/1``: ready containers of all."""
    total = len(pod.get("spec", {}).get("containers") or [])
    return f"{sum(1 for container in _statuses(pod) if container.get('ready'))}/{total}"


def restarts(pod: JsonObject) -> str:
    """How often containers were restarted."""
    return str(sum(container.get("restartCount", 0) for container in _statuses(pod)))


def status(pod: JsonObject) -> str:
    """``Running``, ``Completed``, ``CrashLoopBackOff``, ``Terminating`` …"""
    pod_status = pod.get("status") or {}
    phase = pod_status.get("phase", "Unknown")
    if "deletionTimestamp" in pod["metadata"] and phase not in ("Succeeded", "Failed"):
        return "Unknown" if pod_status.get("reason") == "NodeLost" else "Terminating"
    reason = pod_status.get("reason") or phase
    for container in reversed(_statuses(pod)):
        reason = _container_reason(container.get("state") or {}) or reason
    running = any("running" in (container.get("state") or {}) for container in _statuses(pod))
    if reason == "Completed" and running:
        return "Running" if _is_ready(pod) else "NotReady"
    return str(reason)


def _statuses(pod: JsonObject) -> list[JsonObject]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _container_reason(state: JsonObject) -> str:
    if "waiting" in state:
        return str(state["waiting"].get("reason") or "")
    if "terminated" not in state:
        return ""
    terminated = state["terminated"]
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_ready(pod: JsonObject) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
