"""Execs by the Python clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from kubernetes import client
from kubernetes.stream import stream
from kubernetes_asyncio import client as async_client
from kubernetes_asyncio import config as async_config
from kubernetes_asyncio.stream import WsApiClient

from sandbox.base.names import CONTAINER, NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.kubelet import channels
from tests.sandbox.cluster_tools import api_client


@contextmanager
def python_exec(sandbox: Sandbox, pod: str, *command: str, **options: Any) -> Iterator[Any]:
    """An open exec of the ``kubernetes`` client; closed at the end."""
    core = client.CoreV1Api(api_client(sandbox))
    streams = {"stdin": False, "stdout": True, "stderr": True, "tty": False, "_preload_content": False}
    response = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        NAMESPACE,
        container=CONTAINER,
        command=list(command),
        **(streams | options),
    )
    try:
        yield response
    finally:
        response.close()
        # The client forgets its socket when the server was the one to close.
        response.sock.shutdown()


async def async_exec(sandbox: Sandbox, pod: str, *command: str) -> dict[int, bytes]:
    """What came on each channel of an exec of the ``kubernetes_asyncio`` client, which speaks v4 only."""
    configuration = async_client.Configuration()
    await async_config.load_kube_config(str(sandbox.kubeconfig), client_configuration=configuration)
    received: dict[int, bytes] = {}
    async with WsApiClient(configuration) as api, asyncio.timeout(20):
        core: Any = async_client.CoreV1Api(api)
        socket = await core.connect_get_namespaced_pod_exec(
            pod, NAMESPACE, command=list(command), stdout=True, stderr=True, _preload_content=False
        )
        async with socket as messages:
            async for message in messages:
                channel = message.data[0]
                received[channel] = received.get(channel, b"") + message.data[1:]
    return received


def assert_refused(sandbox: Sandbox, pod: str, message: str) -> None:
    """A v5 client hears of it in the error channel, a v4 client by the HTTP status."""
    with python_exec(sandbox, pod, "/bin/true") as response:
        response.run_forever(timeout=60)
        assert message in response.read_channel(channels.ERROR)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        asyncio.run(async_exec(sandbox, pod, "/bin/true"))
    assert refusal.value.status == 500
