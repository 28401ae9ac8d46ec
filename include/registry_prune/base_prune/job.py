"""The Job of the base prune: how it is made, how it ended, what the run keeps of it (pure)."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import AwareDatetime

from include.registry_prune.base_prune.output import PruneFigures
from include.registry_prune.names import MANAGED_BY
from include.registry_prune.records import Record
from include.registry_prune.units import format_count

FINISHED_JOB_SECONDS = 3600
"""The run deletes its Job itself. If it cannot any more, Kubernetes does so after this time: the registry's operator
takes the outcome of every finished Job in its namespace for the image pruner's. Until then a task that is tried again
finds it."""


class BasePrune(Record):
    """What the base prune did.

    :param summary: the pruner's own last line.
    :param figures: its numbers; of several attempts the sum. None if it printed no summary that is understood.
    :param attempts: the Job's script tries up to six times.
    :param streams_left: image streams that somebody changed in each attempt while the pruner wrote them: their old
        revisions are there still, and the next base prune takes them.
    :param after_a_failure: an earlier try of the run failed and did not hand over what it deleted.
    :param ended_at: when the Job ended, by the cluster's clock.
    """

    version: Literal[2] = 2
    carried_out: bool
    dry_run: bool = False
    job: str = ""
    summary: str = ""
    figures: PruneFigures | None = None
    attempts: int = 1
    streams_left: int = 0
    after_a_failure: bool = False
    ended_at: AwareDatetime | None = None
    seconds: float = 0.0

    @property
    def storage_changed(self) -> bool:
        """Whether something may be gone from the registry's storage."""
        if not self.carried_out or self.dry_run:
            return False
        return self.after_a_failure or self.figures is None or self.figures.storage_changed

    def text(self) -> str:
        """What it did."""
        if not self.carried_out:
            return "switched off"
        if self.figures is None:
            return self.summary or "no summary: see the log of base_prune"
        did = f"{'would delete' if self.dry_run else 'deleted'} {self.figures.text()}"
        if not self.streams_left:
            return did
        left = format_count(self.streams_left, "image stream")
        return f"{did}; left for the next base prune, because they were changed in every attempt: {left}"


class Restart(Record):
    """What became of the registry's pods after a base prune.

    :param needed: whether pods may remember layers that the base prune deleted.
    :param replaced: how many were replaced.
    :param not_done: why a restart that was needed was not done; empty if it was done.
    """

    version: Literal[1] = 1
    needed: bool
    replaced: int = 0
    not_done: str = ""
    seconds: float = 0.0

    def text(self) -> str:
        """What became of them; empty if there is nothing to say."""
        if not self.needed:
            return ""
        if self.not_done:
            return f"the registry's pods were not replaced ({self.not_done})"
        return f"{format_count(self.replaced, 'registry pod')} replaced"


def arguments(*, keep_tag_revisions: int | None, keep_younger_than: str | None, dry_run: bool) -> list[str]:
    """What is appended to the template's own arguments; the last occurrence of a flag wins.

    :param keep_tag_revisions: None leaves it as the ImagePruner says; likewise ``keep_younger_than``.
    """
    appended = []
    if keep_tag_revisions is not None:
        appended.append(f"--keep-tag-revisions={keep_tag_revisions}")
    if keep_younger_than is not None:
        appended.append(f"--keep-younger-than={keep_younger_than}")
    if dry_run:
        appended.append("--confirm=false")
    return appended


def job_name(holder: str) -> str:
    """The Job's name: the same for every try of one run, so that a second try finds the first one's Job."""
    return f"registry-prune-base-{hashlib.sha256(holder.encode()).hexdigest()[:12]}"


def job_from_cron_job(
    cron_job: Mapping[str, Any], *, name: str, appended: Sequence[str], limit_seconds: float
) -> dict[str, Any]:
    """A Job made from the CronJob's template, as ``oc create job --from`` makes it.

    :param limit_seconds: Kubernetes ends the Job after this time, also if nobody watches it any more; a Job that never
        ends would keep every later run from starting its own.
    """
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    container = template["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*(container.get("args") or []), *appended]
    bounds = {"activeDeadlineSeconds": max(1, round(limit_seconds)), "ttlSecondsAfterFinished": FINISHED_JOB_SECONDS}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {**(metadata.get("labels") or {}), **MANAGED_BY},
            "annotations": {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"},
        },
        "spec": {**template["spec"], **bounds},
    }


def pod_problems(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why a Job's pods do not run, or how their containers failed."""
    problems = []
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if status.get("reason"):
            problems.append(f"pod {name}: {status['reason']}: {status.get('message', '')}")
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                problems.append(f"pod {name}: {condition.get('reason', '')}: {condition.get('message', '')}")
        for container in status.get("containerStatuses") or ():
            problems += _container_problems(name, container.get("state") or {})
    return problems


def _container_problems(pod: str, state: Mapping[str, Any]) -> list[str]:
    if "waiting" in state:
        waiting = state["waiting"]
        return [f"pod {pod}: its container waits: {waiting.get('reason', '')} {waiting.get('message', '')}".rstrip()]
    terminated = state.get("terminated") or {}
    if terminated.get("reason") == "OOMKilled":
        return [
            f"pod {pod}: OOMKilled: it needed more memory than it may have. Raise spec.resources of ImagePruner cluster"
        ]
    if terminated.get("exitCode"):
        return [f"pod {pod}: exit status {terminated['exitCode']} ({terminated.get('reason', '')})"]
    return []
