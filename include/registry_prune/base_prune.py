"""The base prune: ``oc adm prune images`` as a Job made from the cluster's own ``image-pruner`` CronJob.

That is what ``oc create job --from=cronjob/image-pruner`` does: the Job has the account, the image and the labels that
the cluster chose (from 4.22 on, the namespace's network policy goes by the label ``app: image-pruner``).
"""

from __future__ import annotations

import copy
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from include.registry_prune.cluster import IMAGE_PRUNER_CRON_JOB, Cluster, ClusterError
from include.registry_prune.records import Record
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

MANAGED_BY = {"app.kubernetes.io/managed-by": "registry-prune"}
KEPT_LOG_LINES = 200
"""So many last lines of a failed Job's log are put into the task log's error; all are logged as they are read."""
_POLL_SECONDS = 1.0
_SUMMARY = re.compile(r"Summary: .+|(?:would delete|deleted) .*", re.IGNORECASE)
_NUMBER = re.compile(r"\b([0-9]{1,18}) ([a-z][a-z ]*[a-z](?:\(s\))?)")


class BasePruneError(Exception):
    """The base prune could not be carried out; the message says why and what to do."""


class BasePrune(Record):
    """What the base prune did.

    :param summary: the pruner's own last line.
    :param deleted: its numbers, by what was deleted.
    """

    version: Literal[1] = 1
    carried_out: bool
    dry_run: bool = False
    job: str = ""
    summary: str = ""
    deleted: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0


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


def job_from_cron_job(cron_job: Mapping[str, Any], *, name: str, appended: Sequence[str]) -> dict[str, Any]:
    """A Job made from the CronJob's template, as ``oc create job --from`` makes it."""
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    container = template["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*(container.get("args") or []), *appended]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {**(metadata.get("labels") or {}), **MANAGED_BY},
            "annotations": {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"},
        },
        "spec": template["spec"],
    }


def parse_summary(lines: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The summary line of ``oc adm prune images`` and its numbers; empty if there is none."""
    for line in reversed(lines):
        if _SUMMARY.fullmatch(line.strip()):
            return line.strip(), {noun: int(number) for number, noun in _NUMBER.findall(line)}
    return "", {}


def active_jobs(cluster: Cluster, *, except_job: str = "") -> list[str]:
    """Names of the unfinished base-prune Jobs, whoever made them."""
    return [
        job["metadata"]["name"]
        for job in cluster.jobs()
        if job["metadata"]["name"] != except_job and _is_base_prune(job) and _finished(job) is None
    ]


def _is_base_prune(job: Mapping[str, Any]) -> bool:
    labels = job["spec"]["template"].get("metadata", {}).get("labels") or {}
    owners = job["metadata"].get("ownerReferences") or ()
    return labels.get("app") == "image-pruner" or any(owner["name"] == IMAGE_PRUNER_CRON_JOB for owner in owners)


def _finished(job: Mapping[str, Any]) -> str | None:
    """Complete, Failed, or None while it works."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def run_base_prune(
    cluster: Cluster,
    *,
    holder: str,
    keep_tag_revisions: int | None,
    keep_younger_than: str | None,
    dry_run: bool,
    limit_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> BasePrune:
    """Run the base prune and wait for its end; its log goes to the log, and the Job is deleted afterwards.

    The operator reads the outcome of every finished Job in that namespace, whoever made it, so none is left.

    :param holder: ``dag_id/run_id``.
    :param dry_run: show what would be deleted, and delete nothing.
    :raises BasePruneError: if there is no CronJob, another base prune is at work, or the Job fails or takes too long.
    """
    name = job_name(holder)
    started = time.monotonic()
    if cluster.job(name) is None:
        others = active_jobs(cluster)
        if others:
            raise BasePruneError(
                f"Another base prune is at work ({', '.join(others)}); two at once disturb each other. Let it end."
            )
        cron_job = cluster.cron_job()
        if cron_job is None:
            raise BasePruneError(
                f"CronJob {IMAGE_PRUNER_CRON_JOB} is not there, so there is no template for the base prune. The image "
                "registry's operator makes it from the ImagePruner cluster: is that there? Or switch base_prune off."
            )
        appended = arguments(
            keep_tag_revisions=keep_tag_revisions, keep_younger_than=keep_younger_than, dry_run=dry_run
        )
        cluster.create_job(job_from_cron_job(cron_job, name=name, appended=appended))
        log.info("Job %s created from CronJob %s; appended: %s", name, IMAGE_PRUNER_CRON_JOB, appended or "nothing")
    outcome = _wait(cluster, name, started + limit_seconds, sleep)
    lines = _job_log(cluster, name)
    cluster.delete_job(name)
    seconds = time.monotonic() - started
    if outcome != "Complete":
        raise BasePruneError(
            f"The base prune failed: Job {name}: {outcome}. The Job is deleted; the end of its log:\n"
            + "\n".join(lines[-KEPT_LOG_LINES:])
        )
    summary, deleted = parse_summary(lines)
    log.info("Base prune ended after %s. %s", format_seconds(seconds), summary or "It printed no summary.")
    return BasePrune(
        carried_out=True, dry_run=dry_run, job=name, summary=summary, deleted=deleted, seconds=round(seconds, 3)
    )


def _wait(cluster: Cluster, name: str, deadline: float, sleep: Callable[[float], None]) -> str:
    while True:
        try:
            job = cluster.job(name)
        except ClusterError as error:
            if error.permanent:
                raise
            log.warning("Waiting for Job %s: %s", name, error)
        else:
            if job is None:
                return "it was deleted by somebody else"
            outcome = _finished(job)
            if outcome:
                return outcome
        if time.monotonic() > deadline:
            return "it did not end in time"
        sleep(_POLL_SECONDS)


def _job_log(cluster: Cluster, name: str) -> list[str]:
    lines: list[str] = []
    for pod in cluster.pods(f"batch.kubernetes.io/job-name={name}"):
        pod_name = pod["metadata"]["name"]
        try:
            for line in cluster.pod_log(pod_name):
                log.info("%s | %s", pod_name, line)
                lines.append(line)
        except ClusterError as error:
            log.warning("The log of pod %s cannot be read: %s", pod_name, error)
            lines.append(f"(the log of pod {pod_name} cannot be read: {error})")
    return lines
