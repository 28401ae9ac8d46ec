"""The base prune's Job: the cluster's own template with a few arguments more; how it ended."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.base_prune.job import (
    FINISHED_JOB_SECONDS,
    BasePrune,
    arguments,
    job_from_cron_job,
    job_name,
    pod_problems,
)
from include.registry_prune.base_prune.output import PruneFigures
from include.registry_prune.names import MANAGED_BY

CRON_JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "image-pruner", "namespace": "openshift-image-registry", "uid": "1"},
    "spec": {
        "schedule": "0 0 * * *",
        "suspend": True,
        "jobTemplate": {
            "metadata": {"labels": {"created-by": "image-pruner"}, "annotations": {"note": "the operator's"}},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": {"app": "image-pruner"}},
                    "spec": {
                        "serviceAccountName": "pruner",
                        "containers": [
                            {
                                "name": "image-pruner",
                                "command": ["oc"],
                                "args": ["adm", "prune", "images", "--keep-tag-revisions=3", "--confirm=true"],
                            }
                        ],
                    },
                },
            },
        },
    },
}


def container(job: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return first


def test_the_job_is_the_template_with_arguments_appended() -> None:
    job = job_from_cron_job(CRON_JOB, name="registry-prune-base-1", appended=["--confirm=false"], limit_seconds=60)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"] == {
        "name": "registry-prune-base-1",
        "labels": {"created-by": "image-pruner", **MANAGED_BY},
        "annotations": {"note": "the operator's", "cronjob.kubernetes.io/instantiate": "manual"},
    }
    expected = copy.deepcopy(CRON_JOB["spec"]["jobTemplate"]["spec"])
    expected["template"]["spec"]["containers"][0]["args"].append("--confirm=false")
    bounds = {"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": FINISHED_JOB_SECONDS}
    assert job["spec"] == {**expected, **bounds}


def test_the_cron_job_itself_is_left_as_it_is() -> None:
    before = copy.deepcopy(CRON_JOB)
    container(job_from_cron_job(CRON_JOB, name="n", appended=["--confirm=false"], limit_seconds=60))["args"].append(
        "more"
    )
    assert before == CRON_JOB


@pytest.mark.parametrize("arguments_before", [None, "missing"])
@pytest.mark.parametrize("metadata", [None, "missing", {}])
def test_a_bare_template_is_enough(arguments_before: Any, metadata: Any) -> None:
    cron_job = copy.deepcopy(CRON_JOB)
    template = cron_job["spec"]["jobTemplate"]
    for holder, key, value in ((container(template), "args", arguments_before), (template, "metadata", metadata)):
        if value == "missing":
            del holder[key]
        else:
            holder[key] = value
    job = job_from_cron_job(cron_job, name="n", appended=["--confirm=false"], limit_seconds=60)
    assert container(job)["args"] == ["--confirm=false"]
    assert job["metadata"]["labels"] == MANAGED_BY


@pytest.mark.parametrize(
    ("keep_tag_revisions", "keep_younger_than", "dry_run", "appended"),
    [
        (None, None, False, []),
        (0, None, False, ["--keep-tag-revisions=0"]),
        (3, "60m", False, ["--keep-tag-revisions=3", "--keep-younger-than=60m"]),
        (None, "1h30m", True, ["--keep-younger-than=1h30m", "--confirm=false"]),
        (None, None, True, ["--confirm=false"]),
    ],
)
def test_only_what_was_asked_for_is_appended(
    keep_tag_revisions: int | None, keep_younger_than: str | None, dry_run: bool, appended: list[str]
) -> None:
    found = arguments(keep_tag_revisions=keep_tag_revisions, keep_younger_than=keep_younger_than, dry_run=dry_run)
    assert found == appended


@given(holder=st.text(), other=st.text())
def test_a_run_has_one_job_name_that_kubernetes_takes(holder: str, other: str) -> None:
    name = job_name(holder)
    assert job_name(holder) == name
    assert (job_name(other) == name) is (other == holder)
    # Kubernetes puts the Job's name into a label of its pods: at most 63 characters.
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)


def test_a_job_that_nobody_watches_any_more_ends_and_goes_by_itself() -> None:
    """Guards: a pod that never starts would be "another base prune at work" for every later run."""
    job = job_from_cron_job(CRON_JOB, name="n", appended=[], limit_seconds=7200.4)
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    assert job["spec"]["ttlSecondsAfterFinished"] == FINISHED_JOB_SECONDS


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": status}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (pod(containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no route"}}}]),
         "pod p: its container waits: ImagePullBackOff no route"),
        (pod(containerStatuses=[{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]),
         "Raise spec.resources of ImagePruner cluster"),
        (pod(containerStatuses=[{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}]),
         "pod p: exit status 1 (Error)"),
        (pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]),
         "pod p: Unschedulable: no node"),
        (pod(reason="Evicted", message="disk pressure"), "pod p: Evicted: disk pressure"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pod_is_said(found: dict[str, Any], message: str) -> None:
    (problem,) = pod_problems([found])
    assert message in problem


@pytest.mark.parametrize(
    "found",
    [
        {"metadata": {"name": "p"}},
        pod(containerStatuses=[{"state": {"running": {}}}, {"state": {"terminated": {"exitCode": 0}}}, {}]),
        pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
    ],
)
def test_a_pod_that_works_or_worked_has_no_problem(found: dict[str, Any]) -> None:
    assert pod_problems([found]) == []


FIGURES = PruneFigures(images=3, layer_links=1200, blobs=17)


@pytest.mark.parametrize(
    ("result", "text", "storage_changed"),
    [
        (BasePrune(carried_out=False), "switched off", False),
        (BasePrune(carried_out=True, figures=FIGURES), "deleted 3 images, 1,200 layer links, 17 blobs", True),
        (BasePrune(carried_out=True, figures=FIGURES, dry_run=True),
         "would delete 3 images, 1,200 layer links, 17 blobs", False),
        (BasePrune(carried_out=True, figures=PruneFigures()), "deleted nothing", False),
        (BasePrune(carried_out=True, figures=PruneFigures(images=2, image_streams=1)), "deleted 2 images", False),
        (BasePrune(carried_out=True, figures=PruneFigures(manifest_links=1)), "deleted 1 manifest link", True),
        (BasePrune(carried_out=True, figures=PruneFigures(), after_a_failure=True), "deleted nothing", True),
        (BasePrune(carried_out=True, dry_run=True, figures=PruneFigures(), after_a_failure=True),
         "would delete nothing", False),
        (BasePrune(carried_out=True, figures=FIGURES, streams_left=2),
         "deleted 3 images, 1,200 layer links, 17 blobs; left for the next base prune, because they were changed in "
         "every attempt: 2 image streams", True),
        # It may have deleted anything.
        (BasePrune(carried_out=True), "no summary: see the log of base_prune", True),
    ],
)  # fmt: skip
def test_what_a_base_prune_did(result: BasePrune, text: str, storage_changed: bool) -> None:
    assert (result.text(), result.storage_changed) == (text, storage_changed)
