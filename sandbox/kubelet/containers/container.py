"""One container: its main process, the commands that run beside it, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.base.names import SMALL_IMAGE
from sandbox.kubelet.containers.container_log import LogWriter
from sandbox.kubelet.containers.pod_files import PodFiles
from sandbox.kubelet.exits import wait_for_exit
from sandbox.kubelet.processes import ProcessTable
from sandbox.real_registry.server import RegistryServer, listening_address
from sandbox.server.objects.metadata import timestamp

_READ_LIMIT = 64 * 1024
_LAST_OUTPUT_SECONDS = 1.0
"""How long the log is read on after the last process's end."""
_REGISTRY = "/usr/bin/dockerregistry"

PLACEHOLDER_COMMAND = ["/bin/cat"]
"""For what the sandbox does not have: idles, and ends by itself with the kubelet (end of its standard input)."""


@dataclass(frozen=True)
class Termination:
    """How a run of a container ended.

    :param exit_code: 128 + n after signal n.
    """

    exit_code: int
    started_at: datetime
    finished_at: datetime
    out_of_memory: bool = False

    @property
    def reason(self) -> str:
        """``Completed``, ``Error`` or ``OOMKilled``."""
        if self.out_of_memory:
            return "OOMKilled"
        return "Error" if self.exit_code else "Completed"


def serves_registry(container: dict[str, Any]) -> bool:
    """Whether a container's main process is the registry's server."""
    return any(_REGISTRY in word and "-prune" not in word for word in _words(container))


def is_small_image(container: dict[str, Any]) -> bool:
    """Whether it is one of this project's own small image, by the image's name."""
    name = str(container.get("image", "")).rpartition("/")[2]
    return name.partition("@")[0].partition(":")[0] == SMALL_IMAGE


def main_command(container: dict[str, Any]) -> list[str]:
    """The words of a container's main process, if it is not a :class:`RegistryServer`.

    A container that names no command has the image's own, which the sandbox does not have: it idles.
    """
    words = _words(container)
    return PLACEHOLDER_COMMAND if serves_registry(container) or not words else words


def _words(container: dict[str, Any]) -> list[str]:
    return [*(container.get("command") or []), *(container.get("args") or [])]


class Container:
    """A container of a pod.

    :param spec: its entry in ``spec.containers``.
    :param environment: all variables of its processes.
    :param processes: those of all pods; the container's are ended when its main one has, as the kernel does.
    :param pod_uid: of its pod.
    :param server: makes the main process a registry that serves; without it a registry idles.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        files: PodFiles,
        environment: dict[str, str],
        processes: ProcessTable,
        pod_uid: str,
        server: RegistryServer | None = None,
    ) -> None:
        self.name: str = spec["name"]
        self.spec = spec
        self.environment = environment
        self.restarts = 0
        self.ready = False
        self.started_at: datetime | None = None
        self.termination: Termination | None = None
        self.previous: Termination | None = None
        self.waiting_reason = "ContainerCreating"
        self._out_of_memory = False
        self.ended = asyncio.Event()
        self._files = files
        self._processes = processes
        self._pod_uid = pod_uid
        self._server = server
        self._main: asyncio.subprocess.Process | None = None
        self._log_copy: asyncio.Future[None]

    @property
    def running(self) -> bool:
        """Its main process runs."""
        return self._main is not None and self._main.returncode is None

    @property
    def has_started(self) -> bool:
        """It runs or has run."""
        return self.running or self.termination is not None or self.previous is not None

    def log_path(self, run: int | None = None) -> Path:
        """Where the output of a run is kept.

        :param run: 0 for the first; default is the present or last one.
        """
        return self._files.logs / f"{self.name}-{self.restarts if run is None else run}.log"

    @property
    def registry_address(self) -> str | None:
        """``IP:PORT`` of the registry that it serves; None while it serves none."""
        if self._server is None or self._main is None or self._main.returncode is not None:
            return None
        # Nobody waits for the answers of a pod that is deleted while it starts.
        return self._server.address or listening_address(self._main.pid)

    async def wait_until_serving(self) -> None:
        """Return when its registry answers requests; at once if it serves none. Never, if it ends before."""
        if self._server is not None and self._main is not None:
            await self._server.wait_until_serving(self._main.pid)

    async def spawn(
        self,
        command: list[str],
        *,
        stdin: bool = False,
        merge_streams: bool = False,
        environment: dict[str, str] | None = None,
    ) -> asyncio.subprocess.Process:
        """Start a command in the container; its output can be read from the process.

        :param environment: default is the container's.
        :raises OSError: there is no such program.
        """
        process = await asyncio.create_subprocess_exec(
            *map(self._files.translate, command),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_streams else subprocess.PIPE,
            env=self.environment if environment is None else environment,
            cwd=self._files.root,
            start_new_session=True,
            limit=_READ_LIMIT,
        )
        self._processes.note_spawned(process.pid, self._pod_uid, self.name)
        return process

    async def start(self) -> None:
        """Start the main process; its output goes to the log.

        A program that does not exist ends the container at once, with code 127.
        """
        self.started_at = datetime.now(UTC)
        log = LogWriter(self.log_path())
        try:
            self._main = await self._spawn_main()
        except OSError as error:
            log.write("stderr", f"exec: {error.filename}: {error.strerror}".encode())
            log.close()
            self._finish(127 if isinstance(error, FileNotFoundError) else 126)
            return
        except asyncio.CancelledError:
            log.close()
            raise
        assert self._main.stdout is not None
        assert self._main.stderr is not None
        streams = {"stdout": self._main.stdout, "stderr": self._main.stderr}
        self._log_copy = asyncio.ensure_future(log.copy(streams))

    async def _spawn_main(self) -> asyncio.subprocess.Process:
        if self._server is not None:
            environment = self._server.environment(self.environment)
            return await self.spawn(self._server.prepare(), environment=environment)
        command = main_command(self.spec)
        return await self.spawn(command, stdin=command is PLACEHOLDER_COMMAND)

    async def wait(self) -> Termination:
        """Wait for the end of the main process, and end those that were started beside it."""
        if self._main is not None:
            code = await wait_for_exit(self._main)
            await self._processes.kill_pod(self._pod_uid, self.name)
            await asyncio.wait([self._log_copy], timeout=_LAST_OUTPUT_SECONDS)
            self._log_copy.cancel()
            if self._server is not None:
                self._server.ended(self.log_path())
            self._finish(code)
        assert self.termination is not None
        return self.termination

    async def wait_if_started(self) -> None:
        """Return when it does not run, or not any more."""
        if self._main is not None:
            await self.wait()

    def _finish(self, exit_code: int) -> None:
        assert self.started_at is not None
        self._main = None
        self.ready = False
        self.termination = Termination(exit_code, self.started_at, datetime.now(UTC), self._out_of_memory)
        self._out_of_memory = False
        self.ended.set()

    def begin_again(self) -> None:
        """Note that the container is started once more."""
        self.previous, self.termination = self.termination, None
        self.started_at = None
        self.restarts += 1
        self.ended = asyncio.Event()

    def terminate(self) -> None:
        """SIGTERM for the main process, if it runs."""
        if self._main is not None:
            with contextlib.suppress(ProcessLookupError):
                self._main.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Out of memory: its main process is killed, and with it all others; returns when they are gone."""
        ended = self.ended
        if self._main is not None and self.running:
            self._out_of_memory = True
            self._main.kill()
            await ended.wait()

    def status(self) -> dict[str, Any]:
        """Its entry in ``status.containerStatuses``."""
        state: dict[str, Any]
        if self.termination is not None:
            state = {"terminated": _terminated(self.termination)}
        elif self.running and self.started_at is not None:
            state = {"running": {"startedAt": timestamp(self.started_at)}}
        else:
            state = {"waiting": {"reason": self.waiting_reason}}
        return {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "imageID": self.spec.get("image", ""),
            "ready": self.ready,
            "started": self.running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": _terminated(self.previous)} if self.previous else {},
        } | ({"containerID": self._identifier} if self.has_started else {})

    @property
    def _identifier(self) -> str:
        """As the container runtime names it: another one for each run."""
        run = f"{self._files.root.name}/{self.name}/{self.restarts}"
        return "cri-o://" + hashlib.sha256(run.encode()).hexdigest()


def _terminated(termination: Termination) -> dict[str, Any]:
    return {
        "exitCode": termination.exit_code,
        "reason": termination.reason,
        "startedAt": timestamp(termination.started_at),
        "finishedAt": timestamp(termination.finished_at),
    }
