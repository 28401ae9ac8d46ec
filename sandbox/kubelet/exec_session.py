"""One exec: a command's streams over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSMsgType, web

from sandbox.kubelet import channels
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.kubelet.exits import wait_for_exit
from sandbox.server.errors import ApiError

_CHUNK = 32 * 1024
_SMALL_CHUNK, _GATHER_SECONDS = 4 * 1024, 0.004
"""What a command writes line by line is gathered for that long and sent as one message: Python would take longer for a
message than the command for its line."""
_CLOSE_SECONDS = 2.0
_FROZEN_POLL_SECONDS = 0.1


class ExecSession:
    """The connection of one exec.

    The command's life does not depend on it: when the client has gone, its output is read on and thrown away,
    as in a real container (``transcripts/cluster/exec-cases.txt``).

    :param pod_uid: in which pod the command runs.
    :param fault: what goes wrong with it, if anything.
    :raises ApiError: 400, the client speaks no subprotocol that the server speaks.
    """

    def __init__(self, request: web.Request, pod_uid: str, command: list[str], fault: ExecFault | None) -> None:
        offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        if not set(offered) & set(channels.PROTOCOLS):
            raise ApiError.bad_request(
                f"unable to upgrade: none of the subprotocols {offered} is spoken here; "
                f"there are: {', '.join(channels.PROTOCOLS)}"
            )
        self.socket = web.WebSocketResponse(
            protocols=channels.PROTOCOLS, compress=False, timeout=_CLOSE_SECONDS, max_msg_size=0
        )
        self.pod_uid = pod_uid
        self._request = request
        self._command = command
        self._fault = fault
        self._connected = True
        self._over = asyncio.Event()
        self._sent_bytes = 0
        self._receiver: asyncio.Future[None] | None = None
        self._frozen: asyncio.Future[None] | None = None

    async def accept(self, first_channel: int) -> None:
        """Accept the WebSocket.

        :param first_channel: gets an empty message, by which the client sees that all is set up.
        """
        await self.socket.prepare(self._request)
        await self._send(first_channel, b"")

    async def refuse(self, cause: str) -> None:
        """The command could not be started."""
        await self._send(channels.ERROR, channels.not_started(self._command, cause))
        await self._close()

    async def wait_until_over(self) -> None:
        """Return when the connection has served its purpose or is lost; the command may go on."""
        await self._over.wait()

    async def serve(self, process: asyncio.subprocess.Process, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        """Carry the streams until the command has ended and nobody holds its output open any more."""
        self._receiver = asyncio.ensure_future(self._receive(process.stdin if stdin else None))
        timer = asyncio.ensure_future(self._strike_in_time())
        try:
            await asyncio.gather(
                self._pump(process.stdout, channels.STDOUT, wanted=stdout),
                self._pump(process.stderr, channels.STDERR, wanted=stderr),
            )
            exit_code = await wait_for_exit(process)
            await self._report(exit_code)
        finally:
            timer.cancel()
            self._receiver.cancel()
            if self._frozen is None:
                self._over.set()

    async def _report(self, exit_code: int) -> None:
        if self._fault is not None and self._fault.at_exit:
            await self._strike(self._fault)
        if self._connected:
            await self._send(channels.ERROR, channels.exit_status(self._command, exit_code))
            await self._close()

    async def _pump(self, stream: asyncio.StreamReader | None, channel: int, *, wanted: bool) -> None:
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            if wanted:
                await self._send_output(channel, chunk)
            if len(chunk) < _SMALL_CHUNK:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _send_output(self, channel: int, chunk: bytes) -> None:
        fault = self._fault
        if fault is None or fault.after_bytes is None:
            await self._send(channel, chunk)
            return
        before = chunk[: max(fault.after_bytes - self._sent_bytes, 0)]
        if before:
            await self._send(channel, before)
        self._sent_bytes += len(before)
        if self._sent_bytes >= fault.after_bytes:
            await self._strike(fault)

    async def _send(self, channel: int, payload: bytes) -> None:
        if not self._connected:
            return
        try:
            await self.socket.send_bytes(bytes([channel]) + payload)
        except (ConnectionError, RuntimeError):
            self._lose()

    async def _receive(self, stdin: asyncio.StreamWriter | None) -> None:
        try:
            async for message in self.socket:
                data = message.data if message.type is WSMsgType.BINARY else str(message.data).encode()
                if stdin is not None and data:
                    stdin = await self._feed(stdin, data)
        finally:
            if stdin is not None:
                stdin.close()
        self._lose()

    async def _feed(self, stdin: asyncio.StreamWriter, data: bytes) -> asyncio.StreamWriter | None:
        """Hand a message to the command; None when its standard input is closed by it."""
        if data[0] == channels.STDIN:
            # A command that reads no more is no reason to stop listening to the client.
            with contextlib.suppress(ConnectionError):
                stdin.write(data[1:])
                await stdin.drain()
        closes = self.socket.ws_protocol == channels.CLOSING_PROTOCOL and data[0] == channels.CLOSE
        if closes and data[1:2] == bytes([channels.STDIN]):
            stdin.close()
            return None
        return stdin

    # --- faults

    async def _strike_in_time(self) -> None:
        fault = self._fault
        if fault is None or (fault.after_seconds is None and not fault.at_once):
            return
        await asyncio.sleep(fault.after_seconds or 0)
        await self._strike(fault)

    async def _strike(self, fault: ExecFault) -> None:
        if not self._connected:
            return
        if fault.effect == "close":
            await self._close()
        elif fault.effect == "abort":
            self.abort()
        else:
            self._freeze()

    def abort(self) -> None:
        """Break the connection off."""
        if self._request.transport is not None:
            self._request.transport.abort()
        self._lose()

    def _freeze(self) -> None:
        self._connected = False
        if self._receiver is not None:
            self._receiver.cancel()
        self._frozen = asyncio.ensure_future(self._wait_for_client_to_leave())

    async def _wait_for_client_to_leave(self) -> None:
        # Nothing is read from the WebSocket, so its end is seen only on the transport.
        while (transport := self._request.transport) and not transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(_FROZEN_POLL_SECONDS)
        self._over.set()

    async def _close(self) -> None:
        if self._connected:
            self._connected = False
            await self.socket.close()
        self._over.set()

    def _lose(self) -> None:
        self._connected = False
        self._over.set()
