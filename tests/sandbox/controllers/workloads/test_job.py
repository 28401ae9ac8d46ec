"""Jobs: backoff, completions, deadlines, ends."""

from __future__ import annotations

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import Kubectl, commands_in_pods, condition, create_job, eventually, wait_for_job

IMAGE_PRUNER = "imagepruners.imageregistry.operator.openshift.io/cluster"

JOBS = "jobs.batch"


class TestJobs:
    def test_backoff_limit_counts_failed_pods(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "exit 3", backoffLimit=2)
        wait_for_job(kubectl, "Failed")
        assert sandbox.get_object(JOBS, "work", NAMESPACE)["status"]["failed"] == 3
        pods = sandbox.list_objects("pods", NAMESPACE, "job-name=work")
        codes = [pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in pods]
        assert codes == [3, 3, 3]

    def test_completions_are_counted(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "true", completions=3, parallelism=2)
        wait_for_job(kubectl, "Complete")
        assert sandbox.get_object(JOBS, "work", NAMESPACE)["status"]["succeeded"] == 3

    def test_restart_policy_on_failure_restarts_the_container(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(
            kubectl,
            "test -e /dev/shm/tried && exit 0; touch /dev/shm/tried; exit 1",
            restartPolicy="OnFailure",
            backoffLimit=3,
        )
        wait_for_job(kubectl, "Complete")
        (pod,) = sandbox.list_objects("pods", NAMESPACE, "job-name=work")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 1

    def test_a_deadline_ends_the_job(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        create_job(kubectl, "sleep 3020", activeDeadlineSeconds=1)
        wait_for_job(kubectl, "Failed")
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
        kubectl("wait", "--for=delete", "job/work", "--timeout=90s")
