"""The registry server of one pod, and what all of a sandbox's have in common."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from sandbox.base.paths import StateDirectory
from sandbox.real_registry.notifications import PushNotifications
from sandbox.real_registry.program import configuration, find_program, serve_command, serve_environment
from sandbox.real_registry.pushed_images import PushedImages
from sandbox.server.objects.store import Store

_POLL_SECONDS = 0.01
_PROBE_SECONDS = 2.0
_LISTENING = "0A"


class RegistryServers:
    """Makes the servers of the registry pods.

    :param program: path of ``docker-registry``.
    """

    def __init__(self, program: str, state: StateDirectory, store: Store) -> None:
        self.program = program
        self.images = PushedImages(store, state.storage)
        self.notifications = PushNotifications(self.images)
        self._state = state
        self._addresses: set[str] = set()

    @classmethod
    def find(cls, wanted: bool | None, state: StateDirectory, store: Store) -> RegistryServers | None:
        """None: the registry pods idle.

        :param wanted: see :func:`sandbox.real_registry.program.find_program`.
        :raises SandboxError: it is wanted and not installed.
        """
        program = find_program(wanted)
        return None if program is None else cls(program, state, store)

    def new_address(self) -> str:
        """A loopback address for a pod; no other pod of this sandbox has or had it."""
        while True:
            # Any part of 127.0.0.0/8 is local; the first quarter is left to what people configure by hand.
            found = f"127.{random.randint(64, 255)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
            if found not in self._addresses:
                self._addresses.add(found)
                return found

    def server(self, ip: str, folder: Path) -> RegistryServer:
        """The server of one pod.

        :param ip: of the pod.
        :param folder: takes its configuration.
        """
        return RegistryServer(self, ip, folder / "registry.yml", self._state.storage)


class RegistryServer:
    """What one container's main process is started with, and where it listens.

    :ivar address: ``IP:PORT``, or None while nobody listens.
    """

    def __init__(self, servers: RegistryServers, ip: str, file: Path, storage: Path) -> None:
        self.address: str | None = None
        self._servers = servers
        self._ip = ip
        self._file = file
        self._storage = storage

    def prepare(self) -> list[str]:
        """Get everything ready for a start; returns the command."""
        notifications = self._servers.notifications
        self._file.write_text(configuration(self._ip, self._storage, notifications.url, notifications.authorization))
        self._servers.images.link_children()
        return serve_command(self._servers.program, self._file)

    def environment(self, container: Mapping[str, str]) -> dict[str, str]:
        """The variables of the process."""
        return serve_environment(container)

    async def wait_until_serving(self, pid: int) -> str:
        """The address, as soon as requests are answered there; never, if the process ends before."""
        while True:
            address = listening_address(pid)
            if address is not None and await _answers(address):
                self.address = address
                return address
            await asyncio.sleep(_POLL_SECONDS)

    def ended(self, log: Path) -> None:
        """The process has ended.

        :param log: of the container; holds all that it has printed.
        """
        self.address = None
        self._servers.notifications.catch_up(log)


def listening_address(pid: int) -> str | None:
    """``IP:PORT`` that a process listens on (IPv4); None if there is none, or no such process."""
    process = Path("/proc") / str(pid)
    try:
        sockets = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
        lines = (process / "net" / "tcp").read_text().splitlines()[1:]
    except OSError:
        return None
    for fields in map(str.split, lines):
        if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in sockets:
            # proc_net(5): the address is in host byte order, the port is not.
            host, _, port = fields[1].partition(":")
            return f"{socket.inet_ntoa(struct.pack('=I', int(host, 16)))}:{int(port, 16)}"
    return None


async def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /v2/ HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
