"""The base prune: ``oc adm prune images`` as a Job made from the cluster's own ``image-pruner`` CronJob.

That is what ``oc create job --from=cronjob/image-pruner`` does: the Job has the account, the image and the labels that
the cluster chose (from 4.22 on, the namespace's network policy goes by the label ``app: image-pruner``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from include.registry_prune.base_prune_job import (
    BasePrune,
    arguments,
    is_base_prune,
    job_from_cron_job,
    job_name,
    outcome,
    parse_summary,
)
from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.names import IMAGE_PRUNER_CRON_JOB
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

KEPT_LOG_LINES = 200
"""So many last lines of a failed Job's log are put into the task log's error; all are logged as they are read."""
_POLL_SECONDS = 1.0


class BasePruneError(Exception):
    """The base prune could not be carried out; the message says why and what to do."""


def active_jobs(cluster: Cluster, *, except_job: str = "") -> list[str]:
    """Names of the unfinished base-prune Jobs, whoever made them."""
    return [
        job["metadata"]["name"]
        for job in cluster.jobs()
        if job["metadata"]["name"] != except_job and is_base_prune(job) and outcome(job) is None
    ]


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
    ended = _wait(cluster, name, started + limit_seconds, sleep)
    lines = _job_log(cluster, name)
    cluster.delete_job(name)
    seconds = time.monotonic() - started
    if ended != "Complete":
        raise BasePruneError(
            f"The base prune failed: Job {name}: {ended}. The Job is deleted; the end of its log:\n"
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
            ended = outcome(job)
            if ended:
                return ended
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
