"""Fixtures: a running API server, empty or with a registry in it, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.registry_objects import fill
from tests.sandbox.server.running_server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "server")
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def kubectl(server: Server, tmp_path: Path) -> Kubectl:
    """kubectl as cluster-admin."""
    return Kubectl(server.admin_kubeconfig, tmp_path)


@pytest.fixture
def registry(server: Server) -> Server:
    """The server with a registry in it."""
    server.call(fill, server.store)
    return server


@pytest.fixture
def http(server: Server) -> Iterator[HttpClient]:
    """HTTP as cluster-admin."""
    with HttpClient(server, server.admin_token) as client:
        yield client
