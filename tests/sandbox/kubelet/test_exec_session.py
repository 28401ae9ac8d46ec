"""Commands in pods, by the three real clients: streams, exit status, environment, and what is seen of processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes_asyncio import client as async_client
from kubernetes_asyncio import config as async_config
from kubernetes_asyncio import watch as async_watch
from kubernetes_asyncio.stream import WsApiClient
from websocket import ABNF

from sandbox.base.names import NAMESPACE, POD_SELECTOR
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import Kubectl, commands_in_pods, eventually, names, wait_for_commands
from tests.sandbox.exec_clients import assert_refused, async_exec, python_exec

SCRIPT = "echo out; echo err >&2; exit 3"


class Shared:
    """Tests that leave the cluster as it is have one together."""

    @pytest.fixture(scope="class")
    @classmethod
    def sandbox(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
        with Sandbox(tmp_path_factory.mktemp("shared")) as running:
            yield running


class TestKubectl(Shared):
    def test_both_streams_and_the_exit_code_arrive(self, kubectl: Kubectl) -> None:
        done = kubectl.run("exec", "deploy/image-registry", "--", "/bin/sh", "-c", SCRIPT)
        assert done.stdout == "out\n"
        assert done.stderr == "err\ncommand terminated with exit code 3\n"
        assert done.returncode == 3

    @pytest.mark.parametrize(("script", "code"), [("true", 0), ("/usr/bin/nosuch", 127), ("kill -9 $$", 137)])
    def test_exit_codes_are_those_of_a_container(self, kubectl: Kubectl, pod: str, script: str, code: int) -> None:
        assert kubectl.run("exec", pod, "--", "/bin/sh", "-c", script).returncode == code

    def test_standard_input_is_handed_on_up_to_its_end(self, kubectl: Kubectl, pod: str) -> None:
        content = "line\n" * 100_000
        done = kubectl.run("exec", "-i", pod, "--", "sh", "-c", "cat; echo ended", stdin=content)
        assert done.stdout == content + "ended\n"

    def test_a_program_that_does_not_exist_is_no_exit_code(self, kubectl: Kubectl, pod: str) -> None:
        done = kubectl.run("exec", pod, "--", "/usr/bin/nosuch")
        assert done.returncode == 1
        assert "executable file not found in $PATH" in done.stderr

    def test_a_pod_that_does_not_exist(self, kubectl: Kubectl) -> None:
        done = kubectl.run("exec", "nosuch", "--", "/bin/true")
        assert done.stderr == 'Error from server (NotFound): pods "nosuch" not found\n'


def test_the_python_client_gets_streams_and_exit_code(sandbox: Sandbox, pod: str) -> None:
    with python_exec(sandbox, pod, "/bin/sh", "-c", SCRIPT) as response:
        response.run_forever(timeout=60)
        assert response.read_stdout() == "out\n"
        assert response.read_stderr() == "err\n"
        assert response.returncode == 3


def test_pings_are_answered(sandbox: Sandbox, pod: str) -> None:
    with python_exec(sandbox, pod, "sleep", "3008") as response:
        response.sock.ping("are you there")
        frames = (response.sock.recv_data_frame(True) for _ in range(10))
        assert ABNF.OPCODE_PONG in (opcode for opcode, _ in frames)


async def test_the_async_client_gets_streams_and_exit_code(sandbox: Sandbox, pod: str) -> None:
    received = await async_exec(sandbox, pod, "/bin/sh", "-c", SCRIPT)
    assert (received[1], received[2]) == (b"out\n", b"err\n")
    assert WsApiClient.parse_error_data(received[3]) == 3


def test_the_async_client_watches_a_rollout(sandbox: Sandbox) -> None:
    async def run() -> set[str]:
        api = await async_config.new_client_from_config(str(sandbox.kubeconfig))
        seen: set[str] = set()
        async with api, asyncio.timeout(30), async_watch.Watch() as watching:
            core = async_client.CoreV1Api(api)
            pods = watching.stream(core.list_namespaced_pod, NAMESPACE, label_selector=POD_SELECTOR)
            sandbox.configure_registry(readOnly=True)
            async for event in pods:
                terminating = event["object"].metadata.deletion_timestamp is not None
                seen.add(f"{event['type']}{' terminating' if terminating else ''}")
                if event["type"] == "DELETED":
                    return seen
        return seen

    assert asyncio.run(run()) == {"ADDED", "MODIFIED", "MODIFIED terminating", "DELETED terminating"}


@pytest.mark.parametrize("mebibytes", [64])
def test_output_of_any_size_arrives_whole(kubectl: Kubectl, pod: str, mebibytes: int) -> None:
    script = f"head -c {mebibytes}M /dev/zero | tr '\\0' x"
    assert len(kubectl.shell(pod, script)) == mebibytes * 1024 * 1024


def test_a_client_that_does_not_read_holds_the_command_up(sandbox: Sandbox, pod: str) -> None:
    """Backpressure: what nobody takes is not piled up in the server."""
    resident = _resident_kibibytes()
    with python_exec(sandbox, pod, "/bin/sh", "-c", "head -c 300M /dev/zero; echo over > /dev/shm/over") as response:
        over = _pod_file(sandbox, pod, "shm/over")
        eventually(lambda: "head" in " ".join(commands_in_pods(sandbox)), "the command runs")
        for _ in range(20):
            response.peek_stdout(timeout=0)
        assert not over.exists()
        assert _resident_kibibytes() - resident < 100_000
    eventually(over.exists, "without the client the command goes on to its end")


def _resident_kibibytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _pod_file(sandbox: Sandbox, pod: str, name: str) -> Path:
    uid = sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"]
    return sandbox.state.pod(uid) / name


class TestInside(Shared):
    def test_the_environment_is_the_container_s_and_nothing_else(
        self, kubectl: Kubectl, pod: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OF_THE_TEST", "1")
        told = dict(line.split("=", 1) for line in kubectl.shell(pod, "env").splitlines())
        assert told["REGISTRY_LOG_LEVEL"] == "info"
        assert told["REGISTRY_STORAGE"] == "filesystem"
        assert told["REGISTRY_HTTP_TLS_MINVERSION"] == "VersionTLS12"
        assert told["HOSTNAME"] == pod
        assert "OF_THE_TEST" not in told

    def test_container_paths_lead_to_the_pod_s_own_files(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        other = names(sandbox.registry_pods())[1]
        (sandbox.state.storage / "shared").write_text("in the storage")
        kubectl.shell(pod, "echo mine > /dev/shm/file; echo mine > /etc/pki/ca-trust/extracted/file")
        assert kubectl.shell(pod, "cat /dev/shm/file /registry/shared") == "mine\nin the storage"
        assert kubectl.shell(other, "ls /dev/shm; cat /registry/shared") == "in the storage"
        account = "/var/run/secrets/kubernetes.io/serviceaccount"
        assert kubectl.shell(pod, f"cat {account}/namespace") == NAMESPACE
        assert kubectl.shell(pod, f"ls {account}").split() == ["ca.crt", "namespace", "service-ca.crt", "token"]

    def test_proc_shows_exactly_the_pod_s_processes(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        other, before = names(sandbox.registry_pods())[1], set(commands_in_pods(sandbox))
        kubectl.shell(other, "/usr/bin/setsid sleep 3001 >/dev/null 2>&1 &")
        kubectl.shell(
            pod,
            "/usr/bin/setsid sleep 3002 >/dev/null 2>&1 & /usr/bin/setsid /usr/bin/setsid sleep 3003 >/dev/null 2>&1 &",
        )
        wait_for_commands(sandbox, "sleep 3001", "sleep 3002", "sleep 3003")
        script = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done"
        told = {line.strip() for line in kubectl.shell(pod, script).splitlines()} - {""}
        assert told & before, "the container's main process"
        assert {"sleep 3002", "sleep 3003"} <= told
        # Beside them only the shell that looks, and what it starts for that.
        others = told - before - {"sleep 3002", "sleep 3003"}
        assert not {line for line in others if not line.startswith(("/bin/sh", "tr "))}

    def test_an_ended_process_leaves_proc(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        pid = kubectl.shell(pod, "/usr/bin/setsid sleep 3004 >/dev/null 2>&1 & echo $!")
        assert kubectl.shell(pod, f"test -e /proc/{pid}/status && echo there") == "there"
        kubectl.shell(pod, f"kill {pid}")
        eventually(lambda: not os.path.lexists(_pod_file(sandbox, pod, f"proc/{pid}")), "its entry is gone")

    def test_an_exec_waits_for_all_who_hold_its_output(self, kubectl: Kubectl, pod: str) -> None:
        assert kubectl.shell(pod, "(sleep 0.3; echo late) & echo early") == "early\nlate"


class TestEnds:
    def test_a_deleted_pod_kills_its_commands(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        with kubectl.start(
            "exec", pod, "--", "/bin/sh", "-c", "/usr/bin/setsid sleep 3005 & sleep 3005; echo ended"
        ) as process:
            eventually(lambda: commands_in_pods(sandbox).count("sleep 3005") == 2, "the command runs")
            kubectl("delete", "pod", pod)
            stdout, stderr = process.communicate(timeout=60)
        assert (stdout, process.returncode) == ("", 137)
        assert "exit code 137" in stderr
        assert "sleep 3005" not in commands_in_pods(sandbox)

    def test_a_pod_deleted_by_force_kills_them_at_once(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        with kubectl.start("exec", pod, "--", "/bin/sh", "-c", "sleep 3006; echo ended") as process:
            eventually(lambda: "sleep 3006" in commands_in_pods(sandbox), "the command runs")
            kubectl("delete", "pod", pod, "--force", "--grace-period=0")
            process.communicate(timeout=60)
        assert process.returncode == 137

    def test_a_client_that_goes_does_not_end_the_command(self, sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
        script = "echo started; while ! test -e /dev/shm/go; do echo on; sleep 0.05; done; echo over >/dev/shm/over"
        with kubectl.start("exec", pod, "--", "/bin/sh", "-c", script) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            process.kill()
        assert any("/dev/shm/go" in command or "shm/go" in command for command in commands_in_pods(sandbox))
        _pod_file(sandbox, pod, "shm/go").touch()
        eventually(_pod_file(sandbox, pod, "shm/over").exists, "the command has gone on to its end")

    def test_a_lost_node_breaks_the_exec_and_lets_the_command_go_on(
        self, sandbox: Sandbox, kubectl: Kubectl, pod: str
    ) -> None:
        node = sandbox.get_object("pods", pod, NAMESPACE)["spec"]["nodeName"]
        with kubectl.start("exec", pod, "--", "sleep", "3007") as process:
            eventually(lambda: "sleep 3007" in commands_in_pods(sandbox), "the command runs")
            sandbox.lose_node(node)
            process.communicate(timeout=60)
        assert process.returncode != 137
        assert "sleep 3007" in commands_in_pods(sandbox)
        refused = kubectl.run("exec", pod, "--", "true")
        assert refused.returncode == 1
        assert ":10250: connect: connection refused" in refused.stderr


class TestNotYet:
    """Containers take their time to start: longer than any test."""

    @pytest.fixture
    def settings(self) -> SandboxSettings:
        return SandboxSettings.quick(replicas=0, container_start=3600.0)

    def test_a_container_that_does_not_run_yet_is_not_found(self, sandbox: Sandbox, kubectl: Kubectl) -> None:
        sandbox.configure_registry(replicas=1)
        waiting = eventually(
            lambda: [
                pod
                for pod in sandbox.registry_pods()
                if pod["status"]["phase"] == "Pending" and "nodeName" in pod["spec"]
            ],
            "a new pod is on its node",
        )
        done = kubectl.run("exec", names(waiting)[0], "--", "/bin/true")
        assert done.returncode == 1
        assert 'container not found ("registry")' in done.stderr
        assert_refused(sandbox, names(waiting)[0], "container not found")
