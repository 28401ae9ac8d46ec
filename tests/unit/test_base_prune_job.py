"""The base prune's Job: the cluster's own template with a few arguments more, and the summary of its log."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.base_prune_job import arguments, job_from_cron_job, job_name, parse_summary
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
    job = job_from_cron_job(CRON_JOB, name="registry-prune-base-1", appended=["--confirm=false"])
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"] == {
        "name": "registry-prune-base-1",
        "labels": {"created-by": "image-pruner", **MANAGED_BY},
        "annotations": {"note": "the operator's", "cronjob.kubernetes.io/instantiate": "manual"},
    }
    expected = copy.deepcopy(CRON_JOB["spec"]["jobTemplate"]["spec"])
    expected["template"]["spec"]["containers"][0]["args"].append("--confirm=false")
    assert job["spec"] == expected


def test_the_cron_job_itself_is_left_as_it_is() -> None:
    before = copy.deepcopy(CRON_JOB)
    container(job_from_cron_job(CRON_JOB, name="n", appended=["--confirm=false"]))["args"].append("more")
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
    job = job_from_cron_job(cron_job, name="n", appended=["--confirm=false"])
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


@pytest.mark.parametrize(
    ("lines", "summary", "deleted"),
    [
        (
            [
                "Deleting 2 items from image stream ns/app",
                "Deleting image sha256:1a",
                "Summary: deleted 3 image object(s), deleted 4 image stream tag item(s), updated 2 image stream(s), "
                "deleted 1200 layer link(s), deleted 3 manifest link(s), deleted 17 blob(s)",
            ],
            "Summary: deleted 3 image object(s), deleted 4 image stream tag item(s), updated 2 image stream(s), "
            "deleted 1200 layer link(s), deleted 3 manifest link(s), deleted 17 blob(s)",
            {
                "image object(s)": 3,
                "image stream tag item(s)": 4,
                "image stream(s)": 2,
                "layer link(s)": 1200,
                "manifest link(s)": 3,
                "blob(s)": 17,
            },
        ),
        (["Summary: deleted 0 objects"], "Summary: deleted 0 objects", {"objects": 0}),
        (["deleted 0 objects", ""], "deleted 0 objects", {"objects": 0}),
        (["Summary: updated 2 image stream(s)"], "Summary: updated 2 image stream(s)", {"image stream(s)": 2}),
        # It tries again after an error: the last summary counts.
        (["Summary: deleted 1 blob(s)", "error: no", "Summary: deleted 2 blob(s) "], "Summary: deleted 2 blob(s)",
         {"blob(s)": 2}),
        (["Deleting image sha256:1a", "error: the server is away"], "", {}),
        (["Summary:"], "", {}),
        ([], "", {}),
        ([f"Summary: deleted {'9' * 5000} blob(s)"], f"Summary: deleted {'9' * 5000} blob(s)", {}),
    ],
    ids=["everything", "nothing", "nothing, older", "only updated", "twice", "error", "empty", "no log", "too long"],
)  # fmt: skip
def test_the_summary_of_the_log(lines: list[str], summary: str, deleted: dict[str, int]) -> None:
    assert parse_summary(lines) == (summary, deleted)


@given(lines=st.lists(st.text() | st.text().map(lambda text: f"Summary: deleted {text}"), max_size=4))
def test_no_log_is_too_strange(lines: list[str]) -> None:
    summary, deleted = parse_summary(lines)
    assert not deleted or summary
