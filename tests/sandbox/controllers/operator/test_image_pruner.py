"""The CronJob that the ImagePruner drives, and Jobs made from it."""

from __future__ import annotations

import json

from sandbox.base.names import CLUSTER, IMAGE_PRUNERS, NAMESPACE, PRUNER_CRON_JOB
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from tests.sandbox.cluster_tools import Kubectl, condition, eventually, wait_for_job

IMAGE_PRUNER = "imagepruners.imageregistry.operator.openshift.io/cluster"

JOBS = "jobs.batch"


class TestBasePrune:
    def test_a_job_from_the_cron_job_prunes_and_says_so(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        sandbox.seed(SeedPlan(images=6, orphans=10))
        kubectl("create", "job", "--from=cronjob/image-pruner", "base")
        wait_for_job(kubectl, "Complete", "base")
        assert "Summary: deleted" in kubectl("logs", "job/base").splitlines()[-1]
        told = json.loads(kubectl("get", "job", "base", "-o", "json"))
        assert told["status"]["succeeded"] == 1
        assert condition(told, "Complete")["reason"] == "CompletionsReached"
        pods = json.loads(kubectl("get", "pods", "-l", "app=image-pruner", "-o", "json"))["items"]
        assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"]
        assert pods[0]["spec"]["serviceAccountName"] == "pruner"

    def test_appended_flags_win(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        sandbox.seed(SeedPlan(images=6, orphans=10))
        before = len(sandbox.list_objects("images.image.openshift.io"))
        job = json.loads(kubectl("create", "job", "--from=cronjob/image-pruner", "x", "--dry-run=client", "-o", "json"))
        job["spec"]["template"]["spec"]["containers"][0]["args"].append("--confirm=false")
        kubectl("create", "-f", "-", stdin=json.dumps(job))
        wait_for_job(kubectl, "Complete", "x")
        assert "Summary:" in kubectl("logs", "job/x")
        assert len(sandbox.list_objects("images.image.openshift.io")) == before

    def test_a_failing_prune_is_tried_six_times_and_marks_the_image_pruner(
        self, sandbox: Sandbox, kubectl: Kubectl
    ) -> None:
        sandbox.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: no registry\n"))
        kubectl("create", "job", "--from=cronjob/image-pruner", "base")
        wait_for_job(kubectl, "Failed", "base")
        log = kubectl("logs", "job/base")
        assert log.count("error: no registry") == 6
        assert log.count("has failed (exit code 1)") == 5
        assert condition(sandbox.get_object(JOBS, "base", NAMESPACE), "Failed")["reason"] == "BackoffLimitExceeded"
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Failed=True", "--timeout=90s")
        kubectl("delete", "job", "base")
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Failed=False", "--timeout=90s")


class TestImagePruner:
    def test_suspending_it_suspends_the_cron_job(self, kubectl: Kubectl) -> None:
        kubectl("patch", IMAGE_PRUNER, "--type=merge", "-p", '{"spec":{"suspend":true}}')
        kubectl("wait", "cronjob/image-pruner", "--for=jsonpath={.spec.suspend}=true", "--timeout=90s")
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Scheduled=False", "--timeout=90s")

    def test_its_fields_are_the_flags_of_the_prune(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        spec = {"keepTagRevisions": 7, "keepYoungerThanDuration": "90m", "schedule": "0 3 * * *"}
        kubectl("patch", IMAGE_PRUNER, "--type=merge", "-p", json.dumps({"spec": spec}))
        kubectl("wait", "cronjob/image-pruner", "--for=jsonpath={.spec.schedule}=0 3 * * *", "--timeout=90s")
        cron_job = sandbox.get_object("cronjobs.batch", PRUNER_CRON_JOB, NAMESPACE)
        words = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
        assert words[2:7] == ["arg0", "oc", "adm", "prune", "images"]
        assert {"--keep-tag-revisions=7", "--keep-younger-than=1h30m0s", "--confirm=true"} <= set(words)

    def test_what_is_done_to_the_cron_job_itself_is_undone(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        kubectl("patch", "cronjob/image-pruner", "-p", '{"spec":{"suspend":true}}')
        eventually(
            lambda: not sandbox.get_object("cronjobs.batch", PRUNER_CRON_JOB, NAMESPACE)["spec"]["suspend"],
            "the operator has undone it",
        )
        sandbox.stop_operator()
        kubectl("patch", "cronjob/image-pruner", "-p", '{"spec":{"suspend":true}}')
        assert sandbox.get_object(IMAGE_PRUNERS, CLUSTER)["spec"]["suspend"] is False
        assert sandbox.get_object("cronjobs.batch", PRUNER_CRON_JOB, NAMESPACE)["spec"]["suspend"]
