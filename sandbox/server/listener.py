"""The API server's socket and its connections, which can be taken away while everything else lives on."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.base.errors import SandboxError
from sandbox.base.settings import LOOPBACK
from sandbox.server.responses import cut_connection

_SHUTDOWN_SECONDS = 1.0
_FAREWELL_SECONDS = 0.1


class Listener:
    """Serves an application with TLS, on the same port whenever it listens.

    :param application: not started yet.
    :param tls: with the server's certificate.
    """

    def __init__(self, application: web.Application, tls: ssl.SSLContext) -> None:
        application.middlewares.append(self._cut_if_stopped)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    async def start(self, port: int) -> int:
        """Listen; returns the port.

        :param port: 0 for any free one.
        :raises SandboxError: it is taken.
        """
        await self._runner.setup()
        self._port = port
        await self.resume()
        return self._port

    async def resume(self) -> None:
        """Listen again; nothing happens if it does.

        :raises SandboxError: the port is taken.
        """
        if self._server is not None:
            return
        assert self._runner.server is not None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._runner.server,
                LOOPBACK,
                self._port,
                ssl=self._tls,
                # A client that has gone without a farewell is not waited for.
                ssl_shutdown_timeout=_FAREWELL_SECONDS,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SandboxError(
                    f"port {self._port} of {LOOPBACK} is taken by another program; "
                    "choose another with --port, or 0 for any free one"
                ) from error
            raise
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Listen no more and break every connection off, watches and execs included, as the end of a process does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        server = self._runner.server
        for handler in server.connections if server else []:
            if handler.transport is not None:
                handler.transport.abort()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """The end: what is being answered has a moment to come to its end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        server = self._runner.server
        transports = [handler.transport for handler in server.connections] if server else []
        await self._runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)

    @web.middleware
    async def _cut_if_stopped(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A connection whose TLS handshake was under way when all were cut.
        if self._server is None:
            return cut_connection(request)
        return await handler(request)
