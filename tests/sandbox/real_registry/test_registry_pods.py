"""The registry's pods serve: in the mode of their environment, from their first to their last moment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.base.errors import SandboxError
from sandbox.base.names import ADDRESS_ANNOTATION
from sandbox.base.paths import StateDirectory
from sandbox.base.proc_files import pod_processes
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.controllers.operator.settled import is_read_only
from sandbox.kubelet.processes import kill_everything
from sandbox.real_registry.program import find_program
from sandbox.real_registry.pusher import SmallImage, push
from sandbox.registry.storage import media_types
from tests.sandbox.cluster_tools import eventually
from tests.sandbox.real_registry.registry_tools import ask, kubectl, needs_registry

PROJECT = Path(__file__).parents[3]


def names(sandbox: Sandbox, *, read_only: bool) -> set[str]:
    return {pod["metadata"]["name"] for pod in sandbox.registry_pods() if is_read_only(pod["spec"]) == read_only}


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False


@needs_registry
class TestServing:
    def test_each_pod_has_an_address_of_its_own(self, sandbox: Sandbox) -> None:
        addresses = sandbox.registry_addresses()
        told = {pod["metadata"]["name"]: pod for pod in sandbox.registry_pods()}
        assert addresses.keys() == told.keys()
        for name, address in addresses.items():
            assert ask(address, "GET", "/v2/") == 200
            assert told[name]["metadata"]["annotations"][ADDRESS_ANNOTATION] == address
            assert told[name]["status"]["podIP"] == address.partition(":")[0]
        assert len({address.partition(":")[0] for address in addresses.values()}) == 2

    def test_read_write_takes_a_push_and_read_only_answers_405(self, sandbox: Sandbox) -> None:
        for address in sandbox.registry_addresses().values():
            assert push(address, "shop/frontend", "latest", SmallImage.make()) == 201
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled()
        for address in sandbox.registry_addresses().values():
            assert push(address, "shop/frontend", "latest", SmallImage.make()) == 405
            accept = {"Accept": media_types.DOCKER_MANIFEST}
            assert ask(address, "GET", "/v2/shop/frontend/manifests/latest", headers=accept) == 200
        sandbox.configure_registry(readOnly=False)
        sandbox.wait_until_settled()
        for address in sandbox.registry_addresses().values():
            assert push(address, "shop/frontend", "latest", SmallImage.make()) == 201

    def test_a_killed_registry_comes_back_with_its_pod(self, sandbox: Sandbox) -> None:
        pod, before = next(iter(sandbox.registry_addresses().items()))
        (main,) = [pid for pid, found in pod_processes(sandbox.state.root).items() if found["HOSTNAME"] == pod]
        os.kill(main, signal.SIGKILL)
        eventually(lambda: not answers(before), "the old one is dead")
        eventually(lambda: pod in (found := sandbox.registry_addresses()) and answers(found[pod]), "it serves again")
        sandbox.wait_until_settled()

    def test_the_log_of_a_pod_is_the_registrys(self, sandbox: Sandbox) -> None:
        pod = next(iter(sandbox.registry_addresses()))
        assert 'msg="using inmemory blob descriptor cache"' in kubectl(sandbox, "logs", pod)


@needs_registry
class TestLongGoodbye:
    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(nodes=5, pre_stop=3600, grace=7200, real_registry=True)

    def test_terminating_pods_take_pushes_when_the_new_ones_refuse_them(self, sandbox: Sandbox) -> None:
        old = sandbox.registry_addresses()
        sandbox.configure_registry(readOnly=True)
        eventually(
            lambda: (
                len(names(sandbox, read_only=True) & sandbox.registry_addresses().keys()) == 2
                and all(
                    "deletionTimestamp" in pod["metadata"]
                    for pod in sandbox.registry_pods()
                    if pod["metadata"]["name"] in old
                )
            ),
            "the old pods are Terminating, the new ones serve",
        )
        addresses = sandbox.registry_addresses()
        assert old.keys() <= addresses.keys()
        for pod, address in addresses.items():
            expected = 201 if pod in old else 405
            assert push(address, "shop/frontend", "latest", SmallImage.make()) == expected
        assert not sandbox.settled()
        kubectl(sandbox, "delete", "pods", *old, "--force", "--grace-period=0")
        sandbox.wait_until_settled()
        # By force: the pods' objects go at once, what runs in them a moment later.
        eventually(
            lambda: not old.keys() & sandbox.registry_addresses().keys() and not any(map(answers, old.values())),
            "the old registries have ended",
        )


@needs_registry
def test_readiness_is_held_and_the_registry_serves(sandbox: Sandbox) -> None:
    sandbox.hold_readiness()
    sandbox.configure_registry(readOnly=True)
    new = eventually(
        lambda: names(sandbox, read_only=True) & sandbox.registry_addresses().keys(), "a new pod's registry answers"
    )
    ready = [
        found["status"]
        for pod in sandbox.registry_pods()
        if pod["metadata"]["name"] in new
        for found in pod["status"]["conditions"]
        if found["type"] == "Ready"
    ]
    assert ready == ["False"] * len(new)
    sandbox.allow_readiness()
    sandbox.wait_until_settled()


@needs_registry
def test_nothing_is_alive_after_the_end(tmp_path: Path, settings: SandboxSettings) -> None:
    with Sandbox(tmp_path / "sandbox", settings) as sandbox:
        addresses = list(sandbox.registry_addresses().values())
        assert all(map(answers, addresses))
    assert not any(map(answers, addresses))
    assert not pod_processes(sandbox.state.root)


@needs_registry
def test_the_registries_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    command = [sys.executable, "-m", "sandbox", "--state", str(state.root), "up", "--foreground", "--real-registry"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    try:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            eventually(state.description.exists, "it is up", 60)
            assert len(pod_processes(state.root)) == 2
            server.kill()
        eventually(lambda: not pod_processes(state.root), "the registries have ended")
    finally:
        kill_everything(state.root)


def test_without_the_program_the_pods_idle_and_the_sandbox_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with Sandbox(tmp_path / "sandbox") as sandbox:
        told = sandbox.call(lambda cluster: cluster.registry_server)
        assert told.startswith("docker-registry is not installed")
        assert sandbox.registry_addresses() == {}
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled()
    with pytest.raises(SandboxError, match="real_registry is true, but docker-registry is not installed"):
        find_program(wanted=True)


def test_up_and_status_say_what_the_pods_run(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", "--state", str(tmp_path / "state"), *words],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout

    try:
        assert "Real registries are switched off" in run("up", "--no-real-registry")
        assert "real registries are switched off" in run("status")
    finally:
        run("down")
