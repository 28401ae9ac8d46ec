"""The registry's cluster for code that waits for many things at once: what following a delete needs, and no more.

The connection is the asynchronous Kubernetes client's (credentials, TLS, proxy). Errors are those of ``cluster.py``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration
from requests.utils import should_bypass_proxies

from include.registry_prune.cluster.cluster import CONFIG, CONFIGS, PODS
from include.registry_prune.cluster.error import ClusterError, request_problem
from include.registry_prune.cluster.exec_channels import Channels, ExecEnd, LineHandler
from include.registry_prune.cluster.registry_state import PodState, pod_state
from include.registry_prune.names import REGISTRY_CONTAINER, REGISTRY_POD_LABELS

if TYPE_CHECKING:
    from kubernetes.client import Configuration as SyncConfiguration

REQUEST_SECONDS = 30.0
EXEC_SILENCE_SECONDS = 8.0
"""A command whose connection was silent for so long has lost it: a look says something every second."""
CLOSE_SECONDS = 1.0
_SAME_FIELDS = (
    "host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "proxy", "proxy_headers", "tls_server_name",
)  # fmt: skip
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class AsyncCluster:
    """One OpenShift cluster.

    :param api: a configured client; whoever made it closes it.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @classmethod
    @asynccontextmanager
    async def like(cls, configuration: SyncConfiguration) -> AsyncIterator[Self]:
        """The cluster of a client that does not wait for many things at once."""
        same = Configuration()
        for field in _SAME_FIELDS:
            value = getattr(configuration, field, None)
            if value is not None:
                setattr(same, field, value)
        if should_bypass_proxies(str(configuration.host), no_proxy=configuration.no_proxy or ""):
            same.proxy = None
        # Asking for it renews a token that a plug-in gives out.
        token = configuration.auth_settings().get("BearerToken", {}).get("value")
        same.api_key = {"BearerToken": token} if token else {}
        api = ApiClient(configuration=same)
        # The environment's proxy and its exceptions are in the configuration already, as the other client reads them:
        # aiohttp would read them once more, and knows no exceptions such as 172.30.0.0/16.
        api.rest_client.pool_manager._trust_env = False
        try:
            yield cls(api)
        finally:
            await api.close()

    async def config(self) -> dict[str, Any]:
        """The Config CR ``cluster`` of the image registry's operator."""
        return await self._json("GET", CONFIG)

    async def patch_config(self, patch: Mapping[str, Any], *, resource_version: str) -> dict[str, Any]:
        """Merge into the Config CR; status 409 when the object has changed since."""
        body = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}
        return await self._json("PATCH", CONFIG, body=body)

    async def pods(self) -> list[PodState]:
        """The registry's pods, Terminating ones included."""
        answer = await self._json("GET", PODS, query={"labelSelector": REGISTRY_POD_LABELS})
        return [pod_state(pod) for pod in answer["items"]]

    async def delete_pod(self, name: str, *, uid: str, grace_seconds: int | None = None) -> None:
        """Delete one pod; one that is gone or has been replaced by another of its name is left alone.

        :param grace_seconds: how long its processes may live on; None: what the pod itself says.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._json("DELETE", f"{PODS}/{quote(name)}", body=body, content_type="application/json")
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    async def config_changes(self, *, seconds: int) -> AsyncIterator[None]:
        """Yields when the Config CR has changed, and at the beginning, until the API server ends the watch."""
        async for _ in self._changes(CONFIGS, {"fieldSelector": "metadata.name=cluster"}, seconds):
            yield

    async def pod_changes(self, *, seconds: int) -> AsyncIterator[None]:
        """Yields when one of the registry's pods has changed, and at the beginning, as :meth:`config_changes`."""
        async for _ in self._changes(PODS, {"labelSelector": REGISTRY_POD_LABELS}, seconds):
            yield

    async def _changes(self, path: str, query: Mapping[str, str], seconds: int) -> AsyncIterator[None]:
        query = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        limits = aiohttp.ClientTimeout(sock_connect=REQUEST_SECONDS, sock_read=seconds + 10)
        async with self._response("GET", path, query=query, limits=limits) as response:
            async for _ in response.content:
                yield

    async def exec(self, pod: str, command: Sequence[str], on_line: LineHandler, *, limit_seconds: float) -> ExecEnd:
        """Run a command in a pod's registry container and wait for its end.

        :param on_line: called with the stream and each line, as it comes.
        :param limit_seconds: how long to wait; after that the end is unknown, and the command lives on.
        :raises ClusterError: if the exec was refused, so that the command was not started.
        """
        query = [("container", REGISTRY_CONTAINER), ("stdout", "true"), ("stderr", "true"), ("stdin", "false")]
        query += [("command", word) for word in command]
        path = f"{PODS}/{quote(pod)}/exec"
        channels = Channels(on_line)
        try:
            async with asyncio.timeout(limit_seconds):
                how = await self._read_exec(f"{path}?{urlencode(query, quote_via=quote)}", channels)
        except TimeoutError:
            how = f"no end after {limit_seconds:.0f} s"
        except aiohttp.WSServerHandshakeError as error:
            message = f"exec in pod {pod} was refused: {error.status} {error.message}"
            raise ClusterError(message, error.status) from error
        except (aiohttp.ClientError, OSError) as error:
            how = f"the connection was lost: {error}"
        return channels.end(how)

    async def _read_exec(self, path: str, channels: Channels) -> str:
        configuration = self._api.configuration
        session = self._api.rest_client.pool_manager
        async with session.ws_connect(
            f"{configuration.host}{path}",
            headers=await self._headers(),
            protocols=_PROTOCOLS,
            proxy=configuration.proxy,
            server_hostname=configuration.tls_server_name,
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        ) as socket:
            while True:
                try:
                    patience = CLOSE_SECONDS if channels.has_status else EXEC_SILENCE_SECONDS
                    # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with a message.
                    async with asyncio.timeout(patience):
                        message = await socket.receive()
                except TimeoutError:
                    return f"the connection was silent for {patience:.0f} s"
                if message.type is aiohttp.WSMsgType.BINARY:
                    channels.feed(message.data)
                elif message.type is aiohttp.WSMsgType.TEXT:
                    channels.feed(message.data.encode())
                else:
                    return "the connection was closed without a status"

    async def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {"Accept": "application/json", **self._api.default_headers}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        return headers

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/merge-patch+json",
    ) -> dict[str, Any]:
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with self._response(
            method, path, query=query, body=body, content_type=content_type, limits=limits
        ) as response:
            value = json.loads(await response.read())
        if not isinstance(value, dict):
            raise ClusterError(f"{method} {path}: the answer is no object")
        return value

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        configuration = self._api.configuration
        try:
            async with self._api.rest_client.pool_manager.request(
                method,
                f"{configuration.host}{path}",
                params=query,
                data=None if body is None else json.dumps(body),
                headers={**await self._headers(), "Content-Type": content_type},
                proxy=configuration.proxy,
                server_hostname=configuration.tls_server_name,
                timeout=limits,
            ) as response:
                if response.status >= 300:
                    text = await response.text(errors="replace")
                    raise ClusterError(
                        request_problem(method, path, str(configuration.host), response.status, text), response.status
                    )
                yield response
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            message = f"{method} {path}: the API server {configuration.host} cannot be reached: {error}"
            raise ClusterError(message) from error
