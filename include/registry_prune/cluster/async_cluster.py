"""The registry's cluster for code that waits for many things at once: what following a delete needs, and no more.

The connection is the asynchronous Kubernetes client's (credentials, TLS, proxy). Errors are those of ``cluster.py``.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration
from requests.utils import should_bypass_proxies

from include.registry_prune.cluster import requests
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import Channels, ExecEnd, LineHandler
from include.registry_prune.cluster.registry_state import PodState, pod_state
from include.registry_prune.cluster.requests import CONFIG, PODS, Request
from include.registry_prune.names import REGISTRY_CONTAINER

if TYPE_CHECKING:
    from kubernetes.client import Configuration as SyncConfiguration

REQUEST_SECONDS = 30.0
EXEC_SILENCE_SECONDS = 8.0
"""After a silence of this long a command has lost its connection: a look prints something every second."""
CLOSE_SECONDS = 1.0
WATCH_SECONDS = 60
"""How long the API server keeps one watch open; then the next begins."""
WATCH_MARGIN_SECONDS = 10
CANCEL_AGAIN_SECONDS = 0.5
END_SECONDS = 5.0
"""For what goes on beside a task to end with it; a thread that hangs is left to itself."""
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
        return await self._json(requests.GET_CONFIG)

    async def patch_config(self, patch: Mapping[str, Any], *, resource_version: str) -> dict[str, Any]:
        """Merge into the Config CR; status 409 when the object has changed since."""
        return await self._json(requests.merge(CONFIG, patch, resource_version=resource_version))

    async def pods(self) -> list[PodState]:
        """The registry's pods, Terminating ones included."""
        return [pod_state(pod) for pod in (await self._json(requests.list_pods()))["items"]]

    async def delete_pod(self, name: str, *, uid: str, grace_seconds: int | None = None) -> None:
        """Delete one pod; see :func:`requests.delete_pod`."""
        request = requests.delete_pod(name, uid=uid, grace_seconds=grace_seconds)
        try:
            await self._json(request)
        except ClusterError as error:
            if error.status not in request.missing:
                raise

    async def pages(self, path: str, *, per_page: int = 100, **query: str) -> AsyncIterator[dict[str, Any]]:
        """A collection, page by page; status 410 if it takes longer than the API server keeps its snapshot."""
        page: dict[str, Any] = {"metadata": {}}
        while True:
            page = await self._json(requests.page(path, page, per_page=per_page, **query))
            yield page
            if not page["metadata"].get("continue"):
                return

    async def watch(self, request: Request) -> AsyncIterator[bytes]:
        """The events of a watch, each as a line of JSON, until the API server ends it, after a minute.

        :param request: of :func:`requests.watch`.
        """
        query = {**request.query, "timeoutSeconds": str(WATCH_SECONDS)}
        limits = aiohttp.ClientTimeout(sock_connect=REQUEST_SECONDS, sock_read=WATCH_SECONDS + WATCH_MARGIN_SECONDS)
        rest = b""
        async with self._response(replace(request, query=query), limits) as response:
            # Not line by line: aiohttp refuses a line of more than 128 KiB, and an Image may have more.
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line

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

    async def _json(self, request: Request) -> dict[str, Any]:
        async with self._response(request, aiohttp.ClientTimeout(total=REQUEST_SECONDS)) as response:
            answer = await response.read()
        return request.read(str(self._api.configuration.host), answer)

    @asynccontextmanager
    async def _response(self, request: Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        configuration = self._api.configuration
        server = str(configuration.host)
        try:
            async with self._api.rest_client.pool_manager.request(
                request.method,
                f"{server}{request.path}",
                params=request.query,
                data=None if request.body is None else json.dumps(request.body),
                headers={**await self._headers(), "Content-Type": request.content_type},
                proxy=configuration.proxy,
                server_hostname=configuration.tls_server_name,
                timeout=limits,
            ) as response:
                if response.status >= 300:
                    raise request.refused(server, response.status, await response.text(errors="replace"))
                yield response
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise request.unreachable(server, error) from error


Connect = Callable[[], AbstractAsyncContextManager[AsyncCluster]]
"""Makes a connection to the cluster; called again after trouble, so that renewed credentials count."""


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they are over: a library may swallow a cancellation, and whoever waits for their end must not
    wait for a watch that goes on."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)


@contextmanager
def beside(configuration: SyncConfiguration, work: Callable[[Connect], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Something goes on beside a task that waits for one thing at a time, while the context is open: in a thread and a
    loop of its own. It is a daemon, so that it never holds a process.

    :param configuration: of the task's client.
    :param work: gets what makes a connection; it is cancelled at the end.
    """
    loop = asyncio.new_event_loop()

    def connect() -> AbstractAsyncContextManager[AsyncCluster]:
        return AsyncCluster.like(configuration)

    task = loop.create_task(work(connect))

    def go_on() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def cancel() -> None:
        task.cancel()
        loop.call_later(CANCEL_AGAIN_SECONDS, cancel)

    thread = threading.Thread(target=go_on, name=work.__name__, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it is over, and its loop is closed
            loop.call_soon_threadsafe(cancel)
        thread.join(END_SECONDS)
