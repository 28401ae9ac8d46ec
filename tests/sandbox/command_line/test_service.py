"""``python -m sandbox``: up, down and what lies between, as a person types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.base.paths import StateDirectory
from sandbox.base.proc_files import pod_processes
from sandbox.command_line.service import ServerProcess
from sandbox.kubelet.processes import kill_everything
from tests.sandbox.cluster_tools import CONFIG, Kubectl, eventually

PROJECT = Path(__file__).parents[3]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def command_line(state: StateDirectory, *words: str) -> list[str]:
    return [sys.executable, "-m", "sandbox", "--state", str(state.root), *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def takes_connections(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def kill_server(state: StateDirectory) -> None:
    server = ServerProcess.find(state)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not server.alive, "the server is dead")


def folder(root: Path) -> Iterator[StateDirectory]:
    """Of a sandbox; whatever runs in it is ended."""
    state = StateDirectory(root)
    yield state
    if server := ServerProcess.find(state):
        server.end()
    kill_everything(state.root)


def runner(state: StateDirectory) -> Command:
    """Runs the command line in a folder that is not the project's."""

    def run(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command_line(state, *words),
            cwd=state.root.parent,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    yield from folder(tmp_path / "state")


@pytest.fixture
def command(state: StateDirectory) -> Command:
    return runner(state)


def test_up_says_how_to_use_it_and_down_ends_it_all(command: Command, state: StateDirectory) -> None:
    assert f"export KUBECONFIG={state.kubeconfig}" in command("up").stdout
    kubectl = Kubectl(state.kubeconfig)
    assert kubectl("get", "pods", "--no-headers").count("Running") == 2
    assert "It was up already" in command("up").stdout
    assert pod_processes(state.root)
    assert "is down; its storage is kept" in command("down").stdout
    assert ServerProcess.find(state) is None
    assert not pod_processes(state.root)
    assert not state.kubeconfig.exists()
    assert state.storage.exists()
    assert "No sandbox was up" in command("down", "--purge").stdout
    assert not state.root.exists()


def test_the_images_are_known_after_down_and_up(command: Command, state: StateDirectory) -> None:
    command("up")
    command("seed", "--images=5", "--orphans=20")
    command("down")
    command("up")
    told = command("verify").stdout
    assert "0 problems" in told
    assert "orphans left: 20" in told


def test_down_ends_what_a_killed_server_has_left(command: Command, state: StateDirectory) -> None:
    command("up")
    command("seed", "--images=2", "--orphans=5")
    pod = Kubectl(state.kubeconfig)("get", "pods", "-o", "name").splitlines()[0]
    Kubectl(state.kubeconfig).shell(pod, "/usr/bin/setsid sleep 3050 >/dev/null 2>&1 &")
    kill_server(state)
    assert "no sandbox is up" in command("status", expect=1).stderr
    assert pod_processes(state.root)
    assert "left behind were ended" in command("down").stdout
    assert not pod_processes(state.root)
    assert "NOTE" in command("up").stdout


def test_up_after_a_kill_ends_the_old_pods_too(command: Command, state: StateDirectory) -> None:
    command("up")
    pod = Kubectl(state.kubeconfig)("get", "pods", "-o", "name").splitlines()[0]
    Kubectl(state.kubeconfig).shell(pod, "/usr/bin/setsid sleep 3051 >/dev/null 2>&1 &")
    kill_server(state)
    command("up")
    assert len(pod_processes(state.root)) == 2


def test_a_note_of_another_process_is_no_server(command: Command, state: StateDirectory) -> None:
    state.root.mkdir(parents=True)
    (state.root / "server.lock").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert "No sandbox was up" in command("down").stdout
    command("up")


def test_options_of_up(command: Command, state: StateDirectory) -> None:
    command("up", "--replicas=3", "--nodes=4")
    assert Kubectl(state.kubeconfig)("get", "pods", "--no-headers").count("Running") == 3
    assert "replicas is -1" in command("up", "--replicas=-1", expect=1).stderr


def test_a_port_that_is_taken(command: Command, state: StateDirectory, tmp_path: Path) -> None:
    command("up")
    port = json.loads(state.description.read_text())["url"].rpartition(":")[2]
    other = StateDirectory(tmp_path / "other")
    refused = subprocess.run(
        command_line(other, "up", f"--port={port}"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken by another program" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_it(state: StateDirectory, number: signal.Signals) -> None:
    with subprocess.Popen(
        command_line(state, "up", "--foreground"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        eventually(state.description.exists, "it is up", 60)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not pod_processes(state.root)
    assert not state.description.exists()


@pytest.mark.parametrize(
    "words",
    [("status",), ("token", "default", "default"), ("operator", "stop"), ("fault", "clear"), ("verify",), ("seed",)],
)
def test_without_a_sandbox_every_command_says_how_to_start_one(command: Command, words: tuple[str, ...]) -> None:
    expected = 2 if words[0] in ("verify", "seed") else 1
    assert "python -m sandbox up" in command(*words, expect=expected).stderr


class TestUp:
    """Commands to a sandbox that is up: one for all of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def state(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDirectory]:
        yield from folder(tmp_path_factory.mktemp("up") / "state")

    @pytest.fixture(scope="class")
    @classmethod
    def command(cls, state: StateDirectory) -> Command:
        return runner(state)

    @pytest.fixture(scope="class")
    @classmethod
    def kubectl(cls, command: Command, state: StateDirectory) -> Kubectl:
        command("up")
        return Kubectl(state.kubeconfig)

    def test_status_and_faults(self, command: Command, kubectl: Kubectl) -> None:
        command("seed", "--images=3", "--orphans=10")
        told = command("status").stdout
        assert "Managed, read-write wanted, settled" in told
        assert "operator    runs" in told
        assert told.count("ready, read-write") == 2

        assert "Ordered" in command("fault", "exec", "refuse", "--times=0").stdout
        assert "container runtime is down" in kubectl.run("exec", "deploy/image-registry", "--", "true").stderr
        command("fault", "api", "status=503", "verb=get", "resource=secrets", "remaining=5")
        command("fault", "pruner", "seconds_per_blob=0.5", 'modes=["delete"]')
        command("fault", "readiness", "hold")
        command("fault", "node", "worker-2", "lost")
        command("operator", "stop")
        told = command("status").stdout
        assert "operator    stopped" in told
        assert "fault       exec: effect=refuse" in told
        assert "fault       API: id=1, verb=get, resource=secrets" in told
        assert "seconds_per_blob" in told
        assert "no container becomes ready" in told
        assert "nodes lost: worker-2" in told

        command("fault", "clear")
        command("fault", "node", "worker-2", "back")
        command("operator", "start")
        told = command("status").stdout
        assert "\nfault" not in told
        assert "operator    runs" in told

    def test_faults_that_cannot_be_are_refused(self, command: Command, kubectl: Kubectl) -> None:
        assert "no node worker-9" in command("fault", "node", "worker-9", "lost", expect=1).stderr
        assert "no pod" in command("fault", "evict", "nosuch", expect=1).stderr
        assert "no order for a pruner" in command("fault", "pruner", "nosuch=1", expect=1).stderr
        assert "is no FIELD=VALUE" in command("fault", "api", "status", expect=1).stderr
        assert "no fault" in command("fault", "api", "nosuch=1", expect=1).stderr

    def test_a_pod_is_evicted(self, command: Command, kubectl: Kubectl) -> None:
        pod = kubectl("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
        command("fault", "evict", pod)
        kubectl("wait", f"pod/{pod}", "--for=jsonpath={.status.reason}=Evicted", "--timeout=90s")

    def test_tokens_and_kubeconfigs_of_service_accounts(
        self, command: Command, kubectl: Kubectl, tmp_path: Path
    ) -> None:
        token = command("token", "openshift-image-registry", "pruner").stdout.strip()
        told = kubectl("--token", token, "auth", "can-i", "list", "images.image.openshift.io")
        assert told == "yes"
        path = tmp_path / "kubeconfig-of-registry"
        command("kubeconfig", "openshift-image-registry", "registry", "--output", str(path))
        refused = Kubectl(path).run("get", "images.image.openshift.io")
        assert 'User "system:serviceaccount:openshift-image-registry:registry" cannot list' in refused.stderr
        assert '"nosuch" not found' in command("token", "default", "nosuch", expect=1).stderr

    def test_strangers_cannot_order_faults(self, command: Command, kubectl: Kubectl) -> None:
        token = command("token", "openshift-image-registry", "pruner").stdout.strip()
        refused = kubectl.run("--token", token, "get", "--raw", "/sandbox/status")
        assert "is no cluster-admin" in refused.stderr
        assert json.loads(kubectl("get", "--raw", "/sandbox/status"))["settled"] is True


def test_what_is_told_of_a_cluster_can_be_changed(command: Command, state: StateDirectory) -> None:
    command("up", "--replicas=1", "--no-real-registry", "--storage=s3")
    kubectl = Kubectl(state.kubeconfig)
    assert "s3" in json.loads(kubectl("get", CONFIG, "--output=json"))["status"]["storage"]
    assert "has version 4.9.17" in command("version", "4.9.17").stdout
    assert "4.9.17" in kubectl("get", "clusterversion")
    assert "pushes in 3600 s" in command("build", "shop", "app-1", "--seconds=3600").stdout
    assert "app-1" in kubectl("get", "builds", "--namespace=shop")
    assert "write NAMESPACE/NAME:TAG" in command("build", "shop", "app-2", "--output=app", expect=1).stderr


def test_situations_can_be_brought_about(command: Command, state: StateDirectory) -> None:
    command("up", "--replicas=1", "--no-real-registry")
    command("seed", "--images=5", "--orphans=5")
    kubectl = Kubectl(state.kubeconfig)
    pod = kubectl("get", "pods", "--output=name").removeprefix("pod/")
    assert "started anew" in command("fault", "restart-container", pod).stdout
    eventually(lambda: "OOMKilled" in kubectl("get", "pod", pod, "--output=yaml"), "it says why it was restarted")
    assert "sha256:" in command("fault", "media-types", "2").stdout
    assert "find an empty folder" in command("fault", "storage", "unmount").stdout
    assert "mounted again" in command("fault", "storage", "mount").stdout
    assert "is mounted" in command("fault", "storage", "mount", expect=1).stderr
    command("fault", "hide-image-streams")
    name = kubectl("get", "imagestreams", "--namespace=shop-1", "--output=name").split()[0]
    assert "NotFound" in kubectl.run("get", name, "--namespace=shop-1").stderr
    command("fault", "clear")
    port = int(json.loads(state.description.read_text())["url"].rpartition(":")[2])
    assert "for 2 s" in command("fault", "api-server", "2").stdout
    # Not by kubectl: on a busy machine that takes longer than the server is away.
    eventually(lambda: not takes_connections(port), "the API server is gone")
    eventually(lambda: not kubectl.run("get", "pods").returncode, "the API server is back")
    assert "Images are gone" in command("fault", "empty-etcd").stdout
    assert kubectl("get", "images") == ""
    assert "those of another cluster" in command("fault", "other-cluster").stdout
    assert kubectl("get", "images", "--output=name").count("sha256:") >= 40
