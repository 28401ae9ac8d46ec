"""Jobs that prune images: which are at work, and how one ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.names import IMAGE_PRUNER_APP, IMAGE_PRUNER_CRON_JOB


class JobEnding(NamedTuple):
    """How a Job ended.

    :param complete: False: it failed.
    :param how: reason and message of its condition.
    :param at: when, as the API server writes it.
    """

    complete: bool
    how: str
    at: str | None


def is_base_prune(job: Mapping[str, Any]) -> bool:
    """Whether a Job prunes images, whoever made it."""
    labels = job["spec"]["template"].get("metadata", {}).get("labels") or {}
    owners = job["metadata"].get("ownerReferences") or ()
    return labels.get("app") == IMAGE_PRUNER_APP or any(owner["name"] == IMAGE_PRUNER_CRON_JOB for owner in owners)


def ending(job: Mapping[str, Any]) -> JobEnding | None:
    """How a Job ended; None while it works."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            told = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
            return JobEnding(condition["type"] == "Complete", told, condition.get("lastTransitionTime"))
    return None


def active_jobs(cluster: Cluster, *, except_job: str = "") -> list[str]:
    """Names of the unfinished base-prune Jobs, whoever made them."""
    return [
        job["metadata"]["name"]
        for job in cluster.jobs()
        if job["metadata"]["name"] != except_job and is_base_prune(job) and ending(job) is None
    ]
