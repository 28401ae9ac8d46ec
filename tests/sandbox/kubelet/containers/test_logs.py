"""Logs of containers, by kubectl."""

from __future__ import annotations

import pytest

from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import Kubectl, create_job, eventually, wait_for_job

IMAGE_PRUNER = "imagepruners.imageregistry.operator.openshift.io/cluster"

JOBS = "jobs.batch"


class TestLogs:
    def test_they_are_followed_to_the_end(self, kubectl: Kubectl) -> None:
        lines = "for i in 1 2 3; do echo out $i; echo err $i >&2; done"
        create_job(kubectl, f"{lines}; while ! test -e /dev/shm/go; do sleep 0.05; done; printf end")
        kubectl("wait", "--for=condition=Ready", "pod", "-l", "job-name=work", "--timeout=90s")
        with kubectl.start("logs", "--follow", "job/work") as following:
            assert following.stdout is not None
            told = [following.stdout.readline().rstrip() for _ in range(6)]
            kubectl("exec", "job/work", "--", "touch", "/dev/shm/go")
            rest, _ = following.communicate(timeout=60)
        assert sorted(told) == [f"{kind} {i}" for kind in ("err", "out") for i in (1, 2, 3)]
        assert rest == "end"

    @pytest.fixture
    def written(self, kubectl: Kubectl) -> Kubectl:
        create_job(kubectl, "seq 100")
        wait_for_job(kubectl, "Complete")
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
