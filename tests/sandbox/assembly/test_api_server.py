"""The API server killed and started again, while objects, pods and what works in them live on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kubernetes import client, watch
from urllib3.exceptions import HTTPError
from websocket import WebSocketConnectionClosedException

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from tests.sandbox.cluster_tools import CONFIG, Kubectl, api_client, eventually
from tests.sandbox.exec_clients import python_exec

_SCRIPT = "echo started; while ! test -e /dev/shm/go; do sleep 0.05; done; touch /dev/shm/over"


def test_it_is_gone_with_every_connection_and_comes_back_at_the_same_address(
    sandbox: Sandbox, kubectl: Kubectl, pod: str
) -> None:
    before, url = kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}"), sandbox.url
    sandbox.stop_api_server()
    refused = kubectl.run("get", "pods")
    assert refused.returncode != 0
    assert "refused" in refused.stderr
    sandbox.start_api_server()
    assert sandbox.url == url
    assert kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}") == before


def test_an_open_exec_is_cut_and_its_command_goes_on(sandbox: Sandbox, pod: str) -> None:
    memory = sandbox.state.pod(sandbox.get_object("pods", pod, NAMESPACE)["metadata"]["uid"]) / "shm"
    with python_exec(sandbox, pod, "/bin/sh", "-c", _SCRIPT) as response:
        response.update(timeout=60)
        assert response.read_stdout() == "started\n"
        sandbox.stop_api_server()
        with pytest.raises((WebSocketConnectionClosedException, OSError)):
            response.run_forever(timeout=60)
    (memory / "go").touch()
    eventually((memory / "over").exists, "the command has gone on to its end")


def test_an_open_watch_is_cut_and_goes_on_from_where_it_was(sandbox: Sandbox, kubectl: Kubectl) -> None:
    custom = client.CustomObjectsApi(api_client(sandbox))
    of_configs = ("imageregistry.operator.openshift.io", "v1", "configs")
    version = custom.list_cluster_custom_object(*of_configs)["metadata"]["resourceVersion"]
    ended, problems = threading.Event(), list[BaseException]()

    def look() -> None:
        try:
            for _ in watch.Watch().stream(
                custom.list_cluster_custom_object, *of_configs, resource_version=version, _request_timeout=30
            ):
                pass
        except (HTTPError, OSError) as error:
            problems.append(error)
        finally:
            ended.set()

    threading.Thread(target=look, daemon=True).start()
    eventually(lambda: sandbox.requests.total(verb="watch", resource="configs"), "the watch is open")
    sandbox.stop_api_server()
    assert ended.wait(20)
    assert problems
    sandbox.configure_registry(logLevel="Debug")
    sandbox.start_api_server()
    events: Any = watch.Watch().stream(
        custom.list_cluster_custom_object, *of_configs, resource_version=version, timeout_seconds=5
    )
    assert next(iter(events))["object"]["spec"]["logLevel"] == "Debug"
    assert kubectl("get", CONFIG, "-o", "jsonpath={.spec.logLevel}") == "Debug"


def test_stopping_and_starting_it_twice_changes_nothing(sandbox: Sandbox, kubectl: Kubectl) -> None:
    for do in (sandbox.start_api_server, sandbox.stop_api_server, sandbox.stop_api_server, sandbox.start_api_server):
        do()
    assert kubectl("get", "pods", "-o", "name")
