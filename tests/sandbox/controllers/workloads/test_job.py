"""Jobs, the CronJob that the ImagePruner drives, and logs."""

from __future__ import annotations

import json

import pytest
from cluster_tools import Kubectl, commands_in_pods, condition, eventually

from sandbox.base.names import CLUSTER, IMAGE_PRUNERS, NAMESPACE, PRUNER_CRON_JOB
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan

IMAGE_PRUNER = "imagepruners.imageregistry.operator.openshift.io/cluster"
JOBS = "jobs.batch"


def create_job(kubectl: Kubectl, script: str, name: str = "work", **spec: object) -> None:
    pod_spec = {"restartPolicy": spec.pop("restartPolicy", "Never"), "terminationGracePeriodSeconds": 1}
    container = {"name": "main", "image": "image", "command": ["/bin/sh", "-c", script]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, **spec, "template": {"spec": {**pod_spec, "containers": [container]}}},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))


def wait_for(kubectl: Kubectl, kind: str, name: str = "work") -> None:
    kubectl("wait", f"--for=condition={kind}", f"job/{name}", "--timeout=30s")


class TestBasePrune:
    def test_a_job_from_the_cron_job_prunes_and_says_so(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        sandbox.seed(SeedPlan(images=6, orphans=10))
        kubectl("create", "job", "--from=cronjob/image-pruner", "base")
        wait_for(kubectl, "Complete", "base")
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
        wait_for(kubectl, "Complete", "x")
        assert "Summary:" in kubectl("logs", "job/x")
        assert len(sandbox.list_objects("images.image.openshift.io")) == before

    def test_a_failing_prune_is_tried_six_times_and_marks_the_image_pruner(
        self, sandbox: Sandbox, kubectl: Kubectl
    ) -> None:
        sandbox.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: no registry\n"))
        kubectl("create", "job", "--from=cronjob/image-pruner", "base")
        wait_for(kubectl, "Failed", "base")
        log = kubectl("logs", "job/base")
        assert log.count("error: no registry") == 6
        assert log.count("has failed (exit code 1)") == 5
        assert condition(sandbox.get_object(JOBS, "base", NAMESPACE), "Failed")["reason"] == "BackoffLimitExceeded"
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Failed=True", "--timeout=20s")
        kubectl("delete", "job", "base")
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Failed=False", "--timeout=20s")


class TestImagePruner:
    def test_suspending_it_suspends_the_cron_job(self, kubectl: Kubectl) -> None:
        kubectl("patch", IMAGE_PRUNER, "--type=merge", "-p", '{"spec":{"suspend":true}}')
        kubectl("wait", "cronjob/image-pruner", "--for=jsonpath={.spec.suspend}=true", "--timeout=20s")
        kubectl("wait", IMAGE_PRUNER, "--for=condition=Scheduled=False", "--timeout=20s")

    def test_its_fields_are_the_flags_of_the_prune(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        spec = {"keepTagRevisions": 7, "keepYoungerThanDuration": "90m", "schedule": "0 3 * * *"}
        kubectl("patch", IMAGE_PRUNER, "--type=merge", "-p", json.dumps({"spec": spec}))
        kubectl("wait", "cronjob/image-pruner", "--for=jsonpath={.spec.schedule}=0 3 * * *", "--timeout=20s")
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


class TestJobs:
    def test_backoff_limit_counts_failed_pods(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "exit 3", backoffLimit=2)
        wait_for(kubectl, "Failed")
        assert sandbox.get_object(JOBS, "work", NAMESPACE)["status"]["failed"] == 3
        pods = sandbox.list_objects("pods", NAMESPACE, "job-name=work")
        codes = [pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in pods]
        assert codes == [3, 3, 3]

    def test_completions_are_counted(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "true", completions=3, parallelism=2)
        wait_for(kubectl, "Complete")
        assert sandbox.get_object(JOBS, "work", NAMESPACE)["status"]["succeeded"] == 3

    def test_restart_policy_on_failure_restarts_the_container(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(
            kubectl,
            "test -e /dev/shm/tried && exit 0; touch /dev/shm/tried; exit 1",
            restartPolicy="OnFailure",
            backoffLimit=3,
        )
        wait_for(kubectl, "Complete")
        (pod,) = sandbox.list_objects("pods", NAMESPACE, "job-name=work")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 1

    def test_a_deadline_ends_the_job(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "sleep 3020", activeDeadlineSeconds=1)
        wait_for(kubectl, "Failed")
        assert condition(sandbox.get_object(JOBS, "work", NAMESPACE), "Failed")["reason"] == "DeadlineExceeded"
        eventually(lambda: "sleep 3020" not in commands_in_pods(sandbox), "its process has ended")

    def test_deleting_it_ends_its_process(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "sleep 3021; true")
        eventually(lambda: "sleep 3021" in commands_in_pods(sandbox), "it runs")
        kubectl("delete", "job", "work")
        eventually(lambda: not sandbox.list_objects("pods", NAMESPACE, "job-name=work"), "its pod is gone")
        assert "sleep 3021" not in commands_in_pods(sandbox)

    def test_a_finished_job_expires(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "true", ttlSecondsAfterFinished=1)
        kubectl("wait", "--for=delete", "job/work", "--timeout=30s")


class TestLogs:
    def test_they_are_followed_to_the_end(self, kubectl: Kubectl) -> None:
        create_job(kubectl, "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.2; done; printf end")
        kubectl("wait", "--for=condition=Ready", "pod", "-l", "job-name=work", "--timeout=20s")
        told = kubectl("logs", "--follow", "job/work").splitlines()
        assert sorted(told) == sorted([*(f"{kind} {i}" for kind in ("out", "err") for i in (1, 2, 3)), "end"])

    @pytest.fixture
    def written(self, kubectl: Kubectl) -> Kubectl:
        create_job(kubectl, "seq 100")
        wait_for(kubectl, "Complete")
        return kubectl

    def test_only_the_last_lines_can_be_asked_for(self, written: Kubectl) -> None:
        assert written("logs", "job/work", "--tail=2").splitlines() == ["99", "100"]

    def test_lines_carry_their_time_on_request(self, written: Kubectl) -> None:
        time, _, line = written("logs", "job/work", "--timestamps", "--tail=1").partition(" ")
        assert (len(time), time[-1], line) == (30, "Z", "100")
        assert written("logs", "job/work", "--since-time", "2099-01-01T00:00:00Z") == ""

    def test_a_pod_without_a_log_says_why(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        kubectl("cordon", "--selector=kubernetes.io/os=linux")
        sandbox.configure_registry(replicas=4)
        waiting = eventually(
            lambda: [pod for pod in sandbox.registry_pods() if "nodeName" not in pod["spec"]], "a pod finds no node"
        )
        assert "waiting to start" in kubectl.run("logs", waiting[0]["metadata"]["name"]).stderr
