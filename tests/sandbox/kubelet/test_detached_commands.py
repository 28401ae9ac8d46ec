"""Commands that outlive their exec: what becomes of them, of their files, and what is known of them."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.base.names import NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.sandbox.cluster_tools import Kubectl, commands_in_pods, eventually, names, wait_for_commands

IN_BACKGROUND = ("{} >/dev/null 2>&1 &", "nohup {} >/dev/null 2>&1 &", "/usr/bin/setsid {} >/dev/null 2>&1 &")
PRUNER = "/usr/bin/dockerregistry -prune={}"


def have_started(sandbox: Sandbox, pruners: int) -> bool:
    return len(sandbox.pruner_journal()) == pruners


def container_of(sandbox: Sandbox, pod: str) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.get_object("pods", pod, NAMESPACE)["status"]["containerStatuses"][0]
    return found


def restarted(sandbox: Sandbox, pod: str, times: int = 1) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = container_of(sandbox, pod)
        return found if found["restartCount"] == times and found["ready"] else None

    found = eventually(look, "the container runs again")
    assert found is not None
    return found


@pytest.mark.parametrize("script", IN_BACKGROUND)
def test_an_exec_ends_at_once_and_what_it_left_behind_lives_on_in_the_pod(
    sandbox: Sandbox, kubectl: Kubectl, pod: str, script: str
) -> None:
    # kubectl is killed, and the test fails, long before the command ends.
    kubectl.shell(pod, script.format("sleep 3060"))
    wait_for_commands(sandbox, "sleep 3060")
    look = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done"
    assert "sleep 3060" in [line.strip() for line in kubectl.shell(pod, look).splitlines()]
    sandbox.restart_container(pod)
    assert "sleep 3060" not in commands_in_pods(sandbox)


def test_a_restarted_container_keeps_its_pod_and_what_was_in_its_memory_files(
    sandbox: Sandbox, kubectl: Kubectl, pod: str
) -> None:
    uid = sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"]
    kubectl.shell(
        pod, "mkdir /dev/shm/run; head -c 5000 /dev/zero >/dev/shm/run/log; date > /etc/pki/ca-trust/extracted/file"
    )
    assert sandbox.shared_memory_bytes(pod) == 5000
    with kubectl.start("exec", pod, "--", "sleep", "3061") as process:
        eventually(lambda: "sleep 3061" in commands_in_pods(sandbox), "the command runs")
        sandbox.restart_container(pod)
        process.communicate(timeout=20)
        assert process.returncode == 137
    terminated = restarted(sandbox, pod)["lastState"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")
    assert sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"] == uid
    assert kubectl.shell(pod, "wc -c < /dev/shm/run/log; ls /etc/pki/ca-trust/extracted") == "5000\nfile"
    sandbox.wait_until_settled()


def test_only_what_runs_can_be_restarted(sandbox: Sandbox, pod: str) -> None:
    with pytest.raises(KeyError, match="has no container nosuch"):
        sandbox.restart_container(pod, container="nosuch")
    with pytest.raises(KeyError, match="no pod openshift-image-registry/nosuch runs"):
        sandbox.restart_container("nosuch")


def test_a_detached_pruner_is_counted_and_two_at_once_are_told(sandbox: Sandbox, kubectl: Kubectl) -> None:
    first, second = names(sandbox.registry_pods())
    sandbox.order_pruner(PrunerFaults(exit_code=0))
    kubectl.shell(first, PRUNER.format("check"))
    kubectl.shell(second, PRUNER.format("check"))
    assert sandbox.most_pruners_at_once() == 1
    sandbox.order_pruner(PrunerFaults(seconds_before_start=60))
    kubectl.shell(first, f"{PRUNER.format('delete')} >/dev/null 2>&1 &")
    eventually(lambda: len(sandbox.pruner_journal()) == 5, "the first one has started")
    assert (sandbox.pruners_alive(), sandbox.most_pruners_at_once()) == (1, 1)
    kubectl.shell(second, f"{PRUNER.format('delete')} >/dev/null 2>&1 &")
    eventually(lambda: len(sandbox.pruner_journal()) == 6, "the second one has started")
    assert (sandbox.pruners_alive(), sandbox.most_pruners_at_once()) == (2, 2)


def test_a_killed_pruner_is_not_taken_for_one_that_lives(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    """It leaves no end in the journal: that it is gone is seen in /proc."""
    sandbox.order_pruner(PrunerFaults(seconds_before_start=60))
    for number in (1, 2):
        kubectl.shell(pod, f"{PRUNER.format('delete')} >/dev/null 2>&1 &")
        eventually(partial(have_started, sandbox, number), "it has started")
        os.kill(sandbox.pruner_journal()[-1]["pid"], signal.SIGKILL)
        eventually(lambda: not sandbox.pruners_alive(), "it is gone")
    assert sandbox.most_pruners_at_once() == 1


def test_the_registry_s_container_finds_a_shell_and_coreutils_and_nothing_else(kubectl: Kubectl, pod: str) -> None:
    script = "for name in {}; do command -v $name >/dev/null || echo $name; done"
    assert kubectl.shell(pod, script.format("sh tr cat head tail wc mkdir ln mv rm date dd nohup sleep kill")) == ""
    absent = "setsid ps sed grep awk find xargs flock python3 perl bash"
    assert kubectl.shell(pod, script.format(absent)).split() == absent.split()


class TestWithoutSharedMemory:
    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(replicas=1, shared_memory=False)

    def test_nothing_can_be_written_to_it(self, kubectl: Kubectl, pod: str) -> None:
        assert kubectl.shell(pod, "mkdir -p /dev/shm/run 2>/dev/null || echo refused") == "refused"
        assert kubectl.shell(pod, "(echo x > /dev/shm/file) 2>/dev/null || echo refused") == "refused"
        assert kubectl.shell(pod, "echo x > /etc/pki/ca-trust/extracted/file && echo written") == "written"


class TestZombies:
    """In a real registry pod nobody waits for orphans."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(replicas=1, zombies=True)

    def test_an_orphan_that_has_ended_stays_until_its_container_ends(
        self, sandbox: Sandbox, kubectl: Kubectl, pod: str
    ) -> None:
        pid = kubectl.shell(pod, "sleep 3062 >/dev/null 2>&1 & echo $!")
        kubectl.shell(pod, f"kill -9 {pid}")
        look = f"kill -0 {pid} && tr '\\0' ' ' </proc/{pid}/cmdline && head -3 /proc/{pid}/status"
        eventually(lambda: "zombie" in kubectl.run("exec", pod, "--", "sh", "-c", look).stdout, "it is a zombie")
        sandbox.restart_container(pod)
        assert not (Path("/proc") / pid).exists()
        restarted(sandbox, pod)
        assert kubectl.shell(pod, f"test -e /proc/{pid} || echo gone") == "gone"

    def test_an_orphan_of_a_moment_stays_too(self, kubectl: Kubectl, pod: str) -> None:
        pid = kubectl.shell(pod, "sleep 0.2 >/dev/null 2>&1 & echo $!")
        eventually(
            lambda: "zombie" in kubectl.run("exec", pod, "--", "cat", f"/proc/{pid}/status").stdout, "it is a zombie"
        )

    def test_without_them_everything_works_as_ever(self, sandbox: Sandbox) -> None:
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled()
