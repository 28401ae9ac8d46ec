"""What befalls pods: a main process that dies, eviction, nodes that are lost, deletion."""

from __future__ import annotations

import os
import signal
import time

from sandbox.base.names import NAMESPACE
from sandbox.base.proc_files import pod_processes
from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import Kubectl, commands_in_pods, condition, eventually, names


def uid_of(sandbox: Sandbox, pod: str) -> str:
    return str(sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"])


def processes_of(sandbox: Sandbox, uid: str) -> list[int]:
    present = pod_processes(sandbox.state.root)
    return [pid for pid, variables in present.items() if variables["SANDBOX_POD_UID"] == uid]


def test_a_killed_main_process_restarts_the_container_and_takes_the_rest_with_it(
    sandbox: Sandbox, kubectl: Kubectl, pod: str
) -> None:
    (main,) = processes_of(sandbox, uid_of(sandbox, pod))
    kubectl.shell(pod, "/usr/bin/setsid sleep 3030 >/dev/null 2>&1 &")
    os.kill(main, signal.SIGKILL)
    restarted = eventually(
        lambda: (
            (status := sandbox.get_object("pods", pod, NAMESPACE)["status"]["containerStatuses"][0])["restartCount"]
            == 1
            and status["ready"]
            and status
        ),
        "the container runs again",
    )
    assert restarted["lastState"]["terminated"]["exitCode"] == 137
    assert "sleep 3030" not in commands_in_pods(sandbox)
    assert kubectl.shell(pod, "echo back") == "back"


def test_an_evicted_pod_stays_as_failed_and_is_replaced(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    kubectl.shell(pod, "/usr/bin/setsid sleep 3031 >/dev/null 2>&1 &")
    sandbox.evict(pod)
    evicted = eventually(
        lambda: (found := sandbox.get_object("pods", pod, NAMESPACE))["status"]["phase"] == "Failed" and found,
        "the pod has failed",
    )
    assert evicted["status"]["reason"] == "Evicted"
    assert "deletionTimestamp" not in evicted["metadata"]
    assert "sleep 3031" not in commands_in_pods(sandbox)
    eventually(lambda: len(sandbox.registry_pods()) == 3, "there is another pod")
    sandbox.wait_until_settled()
    assert "current phase is Failed" in kubectl.run("exec", pod, "--", "true").stderr
    kubectl("delete", "pod", pod)
    assert pod not in names(sandbox.registry_pods())


def test_a_deleted_pod_leaves_nothing(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    uid = uid_of(sandbox, pod)
    begin = time.monotonic()
    kubectl("delete", "pod", pod)
    assert time.monotonic() - begin >= sandbox.settings.pre_stop
    assert not processes_of(sandbox, uid)
    eventually(lambda: not sandbox.state.pod(uid).exists(), "its folder is gone")
    sandbox.wait_until_settled()


def test_a_lost_node_keeps_its_pods_terminating_until_it_returns(sandbox: Sandbox, pod: str) -> None:
    node = sandbox.get_object("pods", pod, NAMESPACE)["spec"]["nodeName"]
    sandbox.lose_node(node)
    eventually(
        lambda: condition(sandbox.get_object("nodes", node), "Ready")["status"] == "Unknown",
        "the node is not ready",
    )
    eventually(
        lambda: "deletionTimestamp" in sandbox.get_object("pods", pod, NAMESPACE)["metadata"],
        "its pod is deleted",
    )
    eventually(
        lambda: sum(condition(found, "Ready").get("status") == "True" for found in sandbox.registry_pods()) == 2,
        "another pod is ready in its place",
    )
    assert pod in names(sandbox.registry_pods())
    assert processes_of(sandbox, uid_of(sandbox, pod))
    assert not sandbox.settled()
    sandbox.return_node(node)
    sandbox.wait_until_settled()
    assert pod not in names(sandbox.registry_pods())


def test_a_node_without_power_ends_its_processes(sandbox: Sandbox, pod: str) -> None:
    found = sandbox.get_object("pods", pod, NAMESPACE)
    sandbox.lose_node(found["spec"]["nodeName"], power_off=True)
    assert not processes_of(sandbox, found["metadata"]["uid"])
    sandbox.return_node(found["spec"]["nodeName"])
    eventually(
        lambda: sandbox.get_object("pods", pod, NAMESPACE)["status"]["containerStatuses"][0]["restartCount"] == 1,
        "its container runs again",
    )
    sandbox.wait_until_settled()


def test_two_registry_pods_never_share_a_node(sandbox: Sandbox, kubectl: Kubectl) -> None:
    for node in ("worker-1", "worker-2"):
        kubectl("cordon", node)
    kubectl("delete", "pods", "-l", "docker-registry=default", "--wait=false")
    waiting = eventually(
        lambda: [
            found for found in sandbox.registry_pods() if condition(found, "PodScheduled").get("status") == "False"
        ],
        "a pod finds no node",
    )
    assert "didn't match pod anti-affinity rules" in condition(waiting[0], "PodScheduled")["message"]
    kubectl("uncordon", "worker-1")
    sandbox.wait_until_settled()
    assert len({pod["spec"]["nodeName"] for pod in sandbox.registry_pods()}) == 2


def test_kubectl_watches_waits_and_describes(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    with kubectl.start("get", "pods", "--watch", "--output-watch-events", "--no-headers") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("ADDED")
        kubectl("delete", "pod", pod)
        kubectl("wait", "--for=condition=Ready", "pod", "-l", "docker-registry=default", "--timeout=90s")
        while not (line := watching.stdout.readline()).startswith("DELETED"):
            assert line
        assert pod in line
    assert "Container ID:  cri-o://" in kubectl("describe", "pods")
