"""An API server in a thread of the test process, with a kubelet that only echoes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.server.access.authentication import MASTERS, TokenAuthenticator
from sandbox.server.access.certificates import ServerCertificate, server_context
from sandbox.server.access.kubeconfig import write_kubeconfig
from sandbox.server.application import build_application
from sandbox.server.backends import ExecCommand, KubeletRefusedError, KubeletUnreachableError
from sandbox.server.faults import ApiFaults
from sandbox.server.objects.store import Store
from sandbox.server.request_counts import RequestCounts
from sandbox.server.verbs.paging import Pager

PATIENCE_SECONDS = 30


class EchoingPods:
    """A kubelet whose every command prints its words and succeeds."""

    def __init__(self) -> None:
        self.refuse_with: str | None = None
        self.unreachable_because: str | None = None

    async def exec(
        self, request: web.Request, pod: dict[str, Any], container: str, command: ExecCommand
    ) -> web.StreamResponse:
        self._check_reachable()
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01" + f"{container}: {' '.join(command.words)}\n".encode())
        await socket.send_bytes(b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode())
        await socket.close()
        return socket

    async def logs(
        self,
        request: web.Request,
        pod: dict[str, Any],
        container: str,
        follow: bool,
        tail_lines: int | None,
    ) -> web.StreamResponse:
        self._check_reachable()
        lines = ["first", "second", "third"]
        kept = lines if tail_lines is None else lines[len(lines) - tail_lines :]
        return web.Response(text="".join(f"{line}\n" for line in kept))

    def _check_reachable(self) -> None:
        if self.refuse_with:
            raise KubeletRefusedError(self.refuse_with)
        if self.unreachable_because:
            raise KubeletUnreachableError(self.unreachable_because)


@dataclass
class Server:
    """A running API server. The store belongs to the server's thread: use it through :meth:`call`."""

    directory: Path
    store: Store = field(default_factory=Store)
    authenticator: TokenAuthenticator = field(default_factory=TokenAuthenticator)
    pods: EchoingPods = field(default_factory=EchoingPods)
    faults: ApiFaults = field(default_factory=ApiFaults)
    counts: RequestCounts = field(default_factory=RequestCounts)

    def __post_init__(self) -> None:
        self.pager = Pager(self.store)
        self.certificate = ServerCertificate.generate()
        self.certificate.write(self.directory / "tls")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(timeout=30)
        self.url = f"https://127.0.0.1:{port}"
        self.admin_token = self.authenticator.issue("admin", [MASTERS])
        self.admin_kubeconfig = self.kubeconfig("admin", self.admin_token)

    async def _serve(self) -> int:
        application = build_application(
            self.store,
            self.authenticator,
            pods=self.pods,
            faults=self.faults,
            counts=self.counts,
            pager=self.pager,
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=server_context(self.directory / "tls"))
        await site.start()
        return int(self._runner.addresses[0][1])

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=PATIENCE_SECONDS)
        self._loop.close()

    def shut_down(self) -> None:
        """Tell the application that the server is about to end, as its runner does."""
        ending = asyncio.run_coroutine_threadsafe(self._runner.app.shutdown(), self._loop)
        ending.result(timeout=PATIENCE_SECONDS)

    async def _end(self) -> None:
        connections = self._runner.server.connections if self._runner.server else []
        transports = [connection.transport for connection in connections]
        await self._runner.cleanup()
        for transport in transports:
            # Not the polite end of TLS, for which the other side would have to be asked.
            if isinstance(transport, asyncio.Transport):
                transport.abort()
        await asyncio.sleep(0)

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a function on the server's event loop and hand back what it returns."""

        async def run() -> Any:
            return function(*arguments, **named)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=30)

    def wait_for_requests(self, *, verb: str, resource: str, more_than: int = 0) -> None:
        """Wait until the answer to such a request has begun."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.counts.total(verb=verb, resource=resource) <= more_than:
            assert time.monotonic() < deadline, f"nobody asked to {verb} {resource}"
            time.sleep(0.01)

    def kubeconfig(self, user: str, token: str) -> Path:
        path = self.directory / f"kubeconfig-{user.replace(':', '-')}"
        return write_kubeconfig(path, self.url, self.certificate.authority, token, user=user)

    def user(self, name: str, groups: tuple[str, ...] = ()) -> Path:
        """Kubeconfig of a user without rights of his own."""
        return self.kubeconfig(name, self.authenticator.issue(name, groups))
