"""The base prune: ``oc adm prune images`` as a Job made from the cluster's own ``image-pruner`` CronJob.

That is what ``oc create job --from=cronjob/image-pruner`` does: the Job has the account, the image and the labels that
the cluster chose (from 4.22 on, the namespace's network policy goes by the label ``app: image-pruner``).

Why not the Kubernetes provider's ``KubernetesJobOperator``: it makes a Job from a pod of its own and not from a
CronJob's template, a second try meets the first one's Job with a 409, it waits without a limit, reads the log when all
is over, and leaves the Job behind.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from include.registry_prune.base_prune.job import (
    BasePrune,
    arguments,
    job_from_cron_job,
    job_name,
    pod_problems,
)
from include.registry_prune.base_prune.job_log import JobLog
from include.registry_prune.base_prune.output import PruneLog
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.jobs import JobEnding, active_jobs, ending
from include.registry_prune.names import DEPLOYMENT, IMAGE_PRUNER_CRON_JOB, NAMESPACE
from include.registry_prune.units import format_seconds
from include.registry_prune.window.in_the_way import in_the_way

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_SAY_EVERY_SECONDS = 60.0
_DELETED_SECONDS = 90.0
"""For the pods of a deleted Job to be gone; their grace is 30 s."""
_OWN_DEADLINE_SECONDS = 60.0
"""Kubernetes ends the Job at its limit. If it does not, the run ends it this much later."""


_MAY_REMEMBER = (
    "The registry's pods may remember these layers until they are replaced (oc rollout restart "
    f"deployment/{DEPLOYMENT} -n {NAMESPACE}): a push of one succeeds, and the image cannot be pulled."
)


class BasePruneError(Exception):
    """The base prune could not be carried out; the message says why and what to do.

    :param passes: what is in the way passes by itself: another try is worth it.
    """

    def __init__(self, message: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.passes = passes


def run_base_prune(
    cluster: Cluster,
    *,
    holder: str,
    keep_tag_revisions: int | None,
    keep_younger_than: str | None,
    dry_run: bool,
    wait_seconds: float,
    limit_seconds: float,
) -> BasePrune:
    """Run the base prune and wait for its end; its log goes to the log line by line, and the Job is deleted afterwards.

    Calling it again follows the Job that an earlier call made. The operator reads the outcome of every finished Job in
    that namespace, whoever made it, so this leaves none.

    :param holder: the run, by a name that no other has.
    :param dry_run: show what would be deleted, and delete nothing.
    :param wait_seconds: for another base prune to end, and for the API of images to answer.
    :param limit_seconds: for the Job.
    :raises BasePruneError: if there is no CronJob, another base prune does not end, or the Job fails or takes too long.
    """
    name = job_name(holder)
    appended = arguments(keep_tag_revisions=keep_tag_revisions, keep_younger_than=keep_younger_than, dry_run=dry_run)
    started = time.monotonic()
    if cluster.job(name) is None:
        _wait_until_free(cluster, name, wait_seconds)
        others = in_the_way(cluster, waits_for_jobs=True)
        if others:
            raise BasePruneError("The base prune was not started: " + " ".join(others))
        _create_job(cluster, name, appended, limit_seconds)
    else:
        log.info("Job %s is there already, made by an earlier try of this task: following it", name)
    prune_log = PruneLog(dry_run=dry_run)
    ended = _follow(cluster, name, prune_log, time.monotonic() + limit_seconds + _OWN_DEADLINE_SECONDS)
    problems = [] if ended.complete else pod_problems(_pods(cluster, name))
    problems.append(_delete_job(cluster, name))
    streams_left = 0 if ended.complete else prune_log.streams_left()
    if not ended.complete and not streams_left:
        raise _failure(name, ended, problems, prune_log)
    if streams_left:
        # The Images that it left are there, and both gates hold every candidate against them.
        log.warning(
            "Job %s failed for image streams alone that were changed while they were written, in each of %d attempts. "
            "The run goes on: all others are pruned, and the next base prune takes these",
            name,
            prune_log.attempts,
        )
    result = BasePrune(
        carried_out=True,
        dry_run=dry_run,
        job=name,
        summary=prune_log.summary,
        figures=prune_log.figures,
        attempts=prune_log.attempts,
        streams_left=streams_left,
        ended_at=ended.at,
        seconds=round(time.monotonic() - started, 3),
    )
    log.info("Base prune ended after %s: %s", format_seconds(result.seconds), result.text())
    return result


def _wait_until_free(cluster: Cluster, name: str, wait_seconds: float) -> None:
    """Wait until no other base prune works and the API of images answers."""
    started = time.monotonic()
    said = 0.0
    while True:
        others = active_jobs(cluster, except_job=name)
        unanswered = "" if others else _unanswered(cluster)
        if not others and not unanswered:
            return
        waiting_for = f"another base prune is at work (Job {', '.join(others)})" if others else unanswered
        now = time.monotonic()
        if now - started > wait_seconds:
            raise BasePruneError(
                f"The base prune was not started, after a wait of {format_seconds(wait_seconds)}: {waiting_for}. "
                + (
                    "Two at once disturb each other. If that Job hangs, look at its pod and delete the Job. If it only "
                    "takes long, raise the setting base_prune_wait."
                    if others
                    else "Nothing was changed."
                ),
                passes=not others,
            )
        if not said or now - said > _SAY_EVERY_SECONDS:
            said = now
            log.info("Waiting for up to %s: %s", format_seconds(wait_seconds), waiting_for)
        time.sleep(_POLL_SECONDS)


def _unanswered(cluster: Cluster) -> str:
    """Why the API of images does not answer now; empty if it does."""
    try:
        cluster.image_count()
    except ClusterError as error:
        if error.permanent:
            raise
        return str(error)
    return ""


def _create_job(cluster: Cluster, name: str, appended: list[str], limit_seconds: float) -> None:
    cron_job = cluster.cron_job()
    image_pruner = cluster.image_pruner()
    if cron_job is None:
        raise BasePruneError(_no_cron_job(image_pruner))
    if cron_job["spec"].get("suspend"):
        log.info(
            "CronJob %s is suspended (ImagePruner cluster: spec.suspend is %s): the cluster does not prune images by "
            "itself. That does not concern this run's Job.",
            IMAGE_PRUNER_CRON_JOB,
            str(bool((image_pruner or {}).get("spec", {}).get("suspend"))).lower(),
        )
    try:
        cluster.create_job(job_from_cron_job(cron_job, name=name, appended=appended, limit_seconds=limit_seconds))
    except ClusterError as error:
        if error.status != 409:
            raise
        log.info("Job %s is there already, made by an earlier try of this task: following it", name)
    else:
        log.info("Job %s created from CronJob %s; appended: %s", name, IMAGE_PRUNER_CRON_JOB, appended or "nothing")


def _no_cron_job(image_pruner: dict[str, Any] | None) -> str:
    missing = f"CronJob {IMAGE_PRUNER_CRON_JOB} is not there, so there is no template for the base prune. "
    if image_pruner is None:
        reason = (
            "ImagePruner cluster, which the image registry's operator makes the CronJob from, is not there either. The "
            "operator makes a missing ImagePruner itself: is it at work?"
        )
    else:
        conditions = "; ".join(
            f"{each['type']}={each['status']} {each.get('message', '')}".strip()
            for each in (image_pruner.get("status") or {}).get("conditions") or ()
        )
        reason = (
            "ImagePruner cluster is there, so the image registry's operator should have made the CronJob from it: is "
            f"the operator at work? Conditions of the ImagePruner: {conditions or 'none'}."
        )
    return f"{missing}{reason} Or switch base_prune off for this run."


def _follow(cluster: Cluster, name: str, prune_log: PruneLog, deadline: float) -> JobEnding:
    """Read the Job's log until it has ended."""

    def take(line: str) -> None:
        log.info("%s", line)
        prune_log.feed(line)

    job_log = JobLog(cluster, name, take)
    while True:
        try:
            job = cluster.job(name)
        except ClusterError as error:
            if error.permanent:
                raise
            log.warning("Waiting for Job %s: %s", name, error)
        else:
            ended = _gone() if job is None else ending(job)
            if ended is not None:
                job_log.read_rest()
                return ended
        if time.monotonic() > deadline:
            return JobEnding(False, "it did not end in time, and Kubernetes did not end it either", None)
        job_log.follow(deadline)
        time.sleep(_POLL_SECONDS)


def _gone() -> JobEnding:
    return JobEnding(False, "somebody else deleted it while it worked", None)


def _pods(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    try:
        return cluster.pods_of_job(name)
    except ClusterError as error:
        log.warning("The pods of Job %s cannot be looked at: %s", name, error)
        return []


def _delete_job(cluster: Cluster, name: str) -> str:
    """Delete the Job, and wait until its pods are gone too: in one of them the pruner may still be at work.

    :return: what became of it. Kubernetes deletes an ended Job after a while if this cannot.
    """
    deadline = time.monotonic() + _DELETED_SECONDS
    try:
        cluster.delete_job(name)
        while cluster.job(name) is not None:
            if time.monotonic() > deadline:
                log.warning(
                    "Job %s: its pod is still there %s after it was deleted", name, format_seconds(_DELETED_SECONDS)
                )
                return "The Job was deleted, but its pod is still there, and a base prune may be at work in it."
            time.sleep(_POLL_SECONDS)
    except ClusterError as error:
        log.warning("Job %s could not be deleted: %s", name, error)
        return f"The Job could not be deleted ({error})."
    return "The Job is deleted."


def _failure(name: str, ended: JobEnding, problems: list[str], prune_log: PruneLog) -> BasePruneError:
    cause, deleted = prune_log.cause(), prune_log.figures
    parts = [
        f"The base prune failed: Job {name}: {ended.how}",
        *([cause.advice] if cause else []),
        *([f"Before that it deleted {deleted.text()}."] if deleted and not prune_log.dry_run else []),
        *([_MAY_REMEMBER] if deleted and deleted.storage_changed and not prune_log.dry_run else []),
        *problems,
        f"Attempts: {prune_log.attempts}. The end of its log:\n{prune_log.end() or '(it is empty)'}",
    ]
    return BasePruneError("\n".join(parts), passes=bool(cause and cause.passes))
