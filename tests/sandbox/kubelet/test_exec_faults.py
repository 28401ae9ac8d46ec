"""What can be ordered to go wrong with an exec. Whatever happens to the connection, the command goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from websocket import WebSocketConnectionClosedException

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import ExecFault
from tests.sandbox.cluster_tools import Kubectl, commands_in_pods, eventually
from tests.sandbox.exec_clients import assert_refused, python_exec

SCRIPT = "echo started; while ! test -e /dev/shm/go; do sleep 0.05; done; echo ended; touch /dev/shm/over"


@pytest.fixture
def let_go(sandbox: Sandbox, pod: str) -> Any:
    """Lets the command end, and waits until it has."""
    uid = sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"]
    memory = sandbox.state.pod(uid) / "shm"

    def let() -> None:
        assert not (memory / "over").exists()
        (memory / "go").touch()
        eventually((memory / "over").exists, "the command has gone on to its end")

    return let


def test_a_closed_connection_looks_like_success_to_kubectl(
    sandbox: Sandbox, kubectl: Kubectl, pod: str, let_go: Any
) -> None:
    sandbox.order_exec(ExecFault("close", after_bytes=len("started\n")))
    done = kubectl.run("exec", pod, "--", "/bin/sh", "-c", SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
    let_go()


def test_a_closed_connection_has_no_exit_code_for_the_python_client(sandbox: Sandbox, pod: str, let_go: Any) -> None:
    sandbox.order_exec(ExecFault("close", after_bytes=len("started\n")))
    with python_exec(sandbox, pod, "/bin/sh", "-c", SCRIPT) as response:
        response.run_forever(timeout=60)
        assert response.read_stdout() == "started\n"
        with pytest.raises(TypeError):
            _ = response.returncode
    let_go()


def test_a_broken_connection_is_an_error_of_the_python_client(sandbox: Sandbox, pod: str, let_go: Any) -> None:
    sandbox.order_exec(ExecFault("abort", after_seconds=0.5))
    error = (WebSocketConnectionClosedException, ConnectionError)
    with python_exec(sandbox, pod, "/bin/sh", "-c", SCRIPT) as response, pytest.raises(error):
        response.run_forever(timeout=60)
    let_go()


def test_bytes_are_cut_where_it_was_ordered(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    sandbox.order_exec(ExecFault("close", after_bytes=1000))
    assert len(kubectl.run("exec", pod, "--", "head", "-c", "100000", "/dev/zero").stdout) == 1000


def test_the_status_alone_can_be_lost(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    sandbox.order_exec(ExecFault("close", at_exit=True))
    done = kubectl.run("exec", pod, "--", "/bin/sh", "-c", "echo all of it; exit 1")
    assert (done.returncode, done.stdout) == (0, "all of it\n")


def test_a_frozen_connection_says_nothing_and_stays(sandbox: Sandbox, pod: str, let_go: Any) -> None:
    sandbox.order_exec(ExecFault("freeze", after_bytes=len("started\n")))
    with python_exec(sandbox, pod, "/bin/sh", "-c", SCRIPT) as response:
        eventually(lambda: response.read_stdout(timeout=1) == "started\n", "the first line has come")
        let_go()
        begin = time.monotonic()
        response.update(timeout=1)
        assert time.monotonic() - begin >= 1
        assert response.is_open()
        assert not response.peek_stdout()


def test_a_refused_exec_starts_nothing(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    sandbox.order_exec(ExecFault("refuse", times=3))
    done = kubectl.run("exec", pod, "--", "sleep", "3010")
    assert done.returncode == 1
    assert "container runtime is down" in done.stderr
    assert_refused(sandbox, pod, "container runtime is down")
    assert "sleep 3010" not in commands_in_pods(sandbox)
    assert kubectl.shell(pod, "echo back") == "back"


def test_an_order_meets_only_what_it_names(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    sandbox.order_exec(ExecFault("refuse", command="-prune=delete"))
    assert kubectl.shell(pod, "echo -prune=check") == "-prune=check"
    assert kubectl.run("exec", pod, "--", "echo", "-prune=delete").returncode == 1
    sandbox.order_exec(ExecFault("refuse", pod="another"))
    assert kubectl.shell(pod, "echo fine") == "fine"
    sandbox.clear_faults()
    assert sandbox.exec_faults.listed() == []
