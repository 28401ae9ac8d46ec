"""An API server that breaks off its answers, or asks for more patience than there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from include.registry_prune.cluster import kubernetes_api
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import CertificateError, ClusterError

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def answers() -> list[Answer]:
    """What the server answers, one request after the other; the last answer counts for all others."""
    return []


@pytest.fixture
def asked(answers: list[Answer]) -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{server.server_port}"
        configuration.no_proxy = "127.0.0.1"
        yield Cluster(client.ApiClient(configuration=configuration))
        server.shutdown()


def answer(status: int, *headers: tuple[str, str], body: bytes = b"{}", length: int | None = None) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body) if length is None else length))):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = length is not None

    return send


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"20\r\n{}")
    handler.close_connection = True


@pytest.mark.parametrize("broken", [answer(200, length=100), answer(403, length=100), chunked])
def test_an_answer_that_breaks_off_is_a_request_that_failed(
    asked: Cluster, answers: list[Answer], broken: Answer
) -> None:
    """Guards everybody who goes on after trouble with the cluster: they know ClusterError alone."""
    answers.append(broken)
    with pytest.raises(ClusterError) as error:
        asked.config()
    assert not error.value.permanent or error.value.status == 403


def test_a_log_that_breaks_off_is_a_request_that_failed(asked: Cluster, answers: list[Answer]) -> None:
    answers.append(answer(200, body=b"2026-01-01T00:00:00Z one line\n", length=100))
    with pytest.raises(ClusterError, match="broke off"):
        list(asked.pod_log("pod", follow=True, silence_seconds=10))


@pytest.mark.parametrize("nonsense", [b"", b"[]", b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_no_object_is_a_request_that_failed(
    asked: Cluster, answers: list[Answer], nonsense: bytes
) -> None:
    answers.append(answer(200, body=nonsense))
    with pytest.raises(ClusterError, match="the answer is no"):
        asked.config()


def test_a_server_that_asks_for_an_hour_of_patience_is_asked_again_soon(
    asked: Cluster, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the closing of a window, which asks the same way: the registry is read-only meanwhile."""
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    answers += [answer(429, ("Retry-After", "3600")), answer(200, body=b'{"kind": "Config"}')]
    assert asked.config() == {"kind": "Config"}
    assert slept == [kubernetes_api.LONGEST_RETRY_AFTER_SECONDS]
    assert slept[0] <= 10


def test_a_certificate_that_is_not_trusted_is_not_tried_again_and_its_advice_names_the_ca(
    account: Path, connect: Callable[[Path], Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the first task: no other try changes it, and network and proxy are in order."""
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    content = yaml.safe_load(account.read_text())
    (entry,) = content["clusters"]
    entry["cluster"] = {"server": entry["cluster"]["server"]}
    account.write_text(yaml.safe_dump(content))
    with pytest.raises(CertificateError, match="certificate-authority-data") as error:
        connect(account).config()
    assert error.value.permanent
    assert "network and proxy" not in str(error.value)
    assert slept == []
