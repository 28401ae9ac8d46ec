"""The Job of the base prune: how it is made, whether it ended, what its output means (pure)."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from include.registry_prune.names import IMAGE_PRUNER_CRON_JOB, MANAGED_BY
from include.registry_prune.records import Record

_SUMMARY = re.compile(r"Summary: .+|(?:would delete|deleted) .*", re.IGNORECASE)
_NUMBER = re.compile(r"\b([0-9]{1,18}) ([a-z][a-z ]*[a-z](?:\(s\))?)")


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


def is_base_prune(job: Mapping[str, Any]) -> bool:
    """Whether a Job prunes images, whoever made it."""
    labels = job["spec"]["template"].get("metadata", {}).get("labels") or {}
    owners = job["metadata"].get("ownerReferences") or ()
    return labels.get("app") == "image-pruner" or any(owner["name"] == IMAGE_PRUNER_CRON_JOB for owner in owners)


def outcome(job: Mapping[str, Any]) -> str | None:
    """Complete, Failed, or None while it works."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None
