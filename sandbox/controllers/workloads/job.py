"""The Job controller: pods until enough have succeeded or too many have failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.base.settings import Lag
from sandbox.controllers.base import Controller, Key, owned_by
from sandbox.controllers.workloads.replica_set import is_active, is_ready, new_pod
from sandbox.kubelet.pod_status import set_condition
from sandbox.server.objects.metadata import timestamp
from sandbox.server.objects.store import Store

JOBS = "jobs.batch"
_LONGEST_BACKOFF = 360.0


def is_finished(job: dict[str, Any]) -> bool:
    """It has the condition Complete or Failed."""
    conditions = job.get("status", {}).get("conditions") or []
    return any(found["type"] in ("Complete", "Failed") and found["status"] == "True" for found in conditions)


def _phase(pod: dict[str, Any]) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


class JobController(Controller):
    """Runs Jobs.

    :param backoff: before the pod after the first failure, in seconds; doubled for each further one.
    """

    kind = "Job"
    watched = (JOBS, "pods")

    def __init__(self, store: Store, lag: Lag, backoff: float) -> None:
        super().__init__(store, lag)
        self._backoff = backoff

    def reconcile(self, key: Key) -> float | None:
        """Count the pods, make missing ones, and see whether the Job has ended."""
        if self.store.find(JOBS, key[1], key[0]) is None:
            return None
        job = self.store.get(JOBS, key[1], key[0])
        if "deletionTimestamp" in job["metadata"] or job["spec"].get("suspend"):
            return None
        if is_finished(job):
            return self._expire(job)
        pods = owned_by(self.store.list("pods", key[0]), job)
        status = job.setdefault("status", {})
        status.setdefault("startTime", timestamp())
        again = self._advance(job, status, pods)
        self.store.modify(JOBS, key[1], key[0], lambda obj: obj.update(status=status), subresource="status")
        return again

    def _advance(self, job: dict[str, Any], status: dict[str, Any], pods: list[dict[str, Any]]) -> float | None:
        spec = job["spec"]
        active = [pod for pod in pods if is_active(pod)]
        succeeded = sum(_phase(pod) == "Succeeded" for pod in pods)
        # A pod that was deleted while it ran has failed too, as soon as it is gone; here: as soon as it is going.
        failed = [pod for pod in pods if _phase(pod) == "Failed" or _is_going(pod)]
        failures = len(failed) + _restarts(active)
        again = None
        if failures > spec["backoffLimit"]:
            self._stop(active)
            active = []
            _conclude(status, "FailureTarget", "Failed", "BackoffLimitExceeded", _BACKOFF_MESSAGE)
        elif self._overdue(job, status):
            self._stop(active)
            active = []
            _conclude(status, "FailureTarget", "Failed", "DeadlineExceeded", _DEADLINE_MESSAGE)
        elif succeeded >= spec["completions"]:
            status["completionTime"] = timestamp()
            _conclude(status, "SuccessCriteriaMet", "Complete", "CompletionsReached", _COMPLETION_MESSAGE)
        else:
            again = self._start_missing(job, active, succeeded, failed)
        counts = {"active": len(active), "succeeded": succeeded, "failed": len(failed)}
        for name, count in counts.items():
            status.pop(name, None)
            if count:
                status[name] = count
        status["ready"] = sum(map(is_ready, active))
        status["terminating"] = 0
        return again

    def _start_missing(
        self, job: dict[str, Any], active: list[dict[str, Any]], succeeded: int, failed: list[dict[str, Any]]
    ) -> float | None:
        spec = job["spec"]
        missing = min(spec["parallelism"], spec["completions"] - succeeded) - len(active)
        if missing > 0 and failed and (left := self._backoff_left(failed)) > 0:
            return left
        for _ in range(missing):
            active.append(self.store.create("pods", new_pod(job, spec["template"])))
        return float(spec["activeDeadlineSeconds"]) if spec.get("activeDeadlineSeconds") else None

    def _backoff_left(self, failed: list[dict[str, Any]]) -> float:
        """Seconds until the next pod may come."""
        last = max(map(_ended_at, failed))
        pause = min(self._backoff * 2.0 ** (len(failed) - 1), _LONGEST_BACKOFF)
        return float(pause - (datetime.now(UTC) - last).total_seconds())

    def _overdue(self, job: dict[str, Any], status: dict[str, Any]) -> bool:
        deadline = job["spec"].get("activeDeadlineSeconds")
        started = datetime.fromisoformat(status["startTime"])
        return deadline is not None and (datetime.now(UTC) - started).total_seconds() >= deadline

    def _stop(self, pods: list[dict[str, Any]]) -> None:
        for pod in pods:
            self.store.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _expire(self, job: dict[str, Any]) -> float | None:
        """Delete a finished Job when ``ttlSecondsAfterFinished`` is over."""
        life = job["spec"].get("ttlSecondsAfterFinished")
        if life is None:
            return None
        ended = max(datetime.fromisoformat(found["lastTransitionTime"]) for found in job["status"]["conditions"])
        left = life - (datetime.now(UTC) - ended).total_seconds()
        if left > 0:
            return float(left)
        self.store.delete(JOBS, job["metadata"]["name"], job["metadata"]["namespace"])
        return None


_COMPLETION_MESSAGE = "Reached expected number of succeeded pods"
_BACKOFF_MESSAGE = "Job has reached the specified backoff limit"
_DEADLINE_MESSAGE = "Job was active longer than specified deadline"


def _conclude(status: dict[str, Any], target: str, final: str, reason: str, message: str) -> None:
    """Both conditions of a Job's end: since Kubernetes 1.31 the final one never comes alone."""
    for type_ in (target, final):
        set_condition(status, type_, value=True, reason=reason, message=message)


def _is_going(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"] and _phase(pod) != "Succeeded"


def _restarts(pods: list[dict[str, Any]]) -> int:
    """Restarts count as failures where the pods' restart policy is OnFailure."""
    return sum(
        found.get("restartCount", 0) for pod in pods for found in pod.get("status", {}).get("containerStatuses") or []
    )


def _ended_at(pod: dict[str, Any]) -> datetime:
    times = [
        found["state"]["terminated"]["finishedAt"]
        for found in pod.get("status", {}).get("containerStatuses") or []
        if "terminated" in found["state"]
    ]
    return datetime.fromisoformat(max(times, default=pod["metadata"]["creationTimestamp"]))
