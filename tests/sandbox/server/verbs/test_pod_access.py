"""Exec that comes to nothing is told as a real server tells it (over WebSocket v4 and v5)."""

from __future__ import annotations

import json

import pytest
import websocket

from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.registry_objects import REGISTRY
from tests.sandbox.server.running_server import Server

PODS = f"/api/v1/namespaces/{REGISTRY}/pods"
pytestmark = pytest.mark.usefixtures("registry")


def exec_path(pod: str, **query: str) -> str:
    parameters = "&".join(f"{key}={value}" for key, value in {"command": "true", **query}.items())
    return f"{PODS}/{pod}/exec?{parameters}"


def handshake(server: Server, path: str, protocol: str) -> websocket.WebSocket:
    return websocket.create_connection(
        server.url.replace("https", "wss") + path,
        header=[f"Authorization: Bearer {server.admin_token}"],
        subprotocols=[protocol],
        sslopt={"ca_certs": str(server.directory / "tls" / "ca.crt")},
        timeout=30,
    )


def refused_handshake(server: Server, path: str) -> tuple[int, str]:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        handshake(server, path, "v4.channel.k8s.io")
    return refusal.value.status_code, (refusal.value.resp_body or b"").decode()


def test_exec_that_the_kubelet_refuses_is_told_as_by_a_real_server(registry: Server, kubectl: Kubectl) -> None:
    registry.pods.refuse_with = "container runtime is down"
    command = ("exec", "-n", REGISTRY, "image-registry-a", "--", "true")
    refused = kubectl.run(*command)
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: Internal error occurred: unable to upgrade connection: container runtime is down\n"
    )
    status, body = refused_handshake(registry, exec_path("image-registry-a"))
    assert (status, body) == (500, "container runtime is down")


def test_exec_without_a_kubelet(registry: Server, kubectl: Kubectl) -> None:
    registry.pods.unreachable_because = "dial tcp 127.0.0.1:10250: connect: connection refused"
    refused = kubectl.run("exec", "-n", REGISTRY, "image-registry-a", "--", "true")
    assert refused.stderr.startswith('error: Internal error occurred: error sending request: Post "https://')
    assert refused.stderr.endswith(": dial tcp 127.0.0.1:10250: connect: connection refused\n")
    status, body = refused_handshake(registry, exec_path("image-registry-a"))
    assert (status, json.loads(body)["message"]) == (
        500,
        "error dialing backend: dial tcp 127.0.0.1:10250: connect: connection refused",
    )


def test_exec_in_a_container_that_does_not_run(registry: Server, kubectl: Kubectl) -> None:
    refused = kubectl.run("exec", "-n", REGISTRY, "image-registry-b", "--", "true")
    assert refused.stderr == (
        'error: Internal error occurred: unable to upgrade connection: container not found ("registry")\n'
    )
    assert refused_handshake(registry, exec_path("image-registry-b")) == (500, 'container not found ("registry")')


def test_exec_in_what_does_not_exist(registry: Server, kubectl: Kubectl) -> None:
    assert kubectl.run("exec", "-n", REGISTRY, "nosuch", "--", "true").stderr == (
        'Error from server (NotFound): pods "nosuch" not found\n'
    )
    assert kubectl.run("exec", "-n", REGISTRY, "deploy/nosuch", "--", "true").stderr == (
        'Error from server (NotFound): deployments.apps "nosuch" not found\n'
    )
    status, body = refused_handshake(registry, exec_path("nosuch"))
    assert (status, json.loads(body)["message"]) == (404, 'pods "nosuch" not found')
    status, body = refused_handshake(registry, exec_path("image-registry-a", container="nosuch"))
    assert (status, json.loads(body)["message"]) == (
        400,
        "container nosuch is not valid for pod image-registry-a",
    )


def test_exec_over_spdy_says_what_to_use_instead(http: HttpClient) -> None:
    answer = http.request("POST", exec_path("image-registry-a"))
    assert answer.status_code == 400
    assert "WebSocket" in answer.json()["message"]
