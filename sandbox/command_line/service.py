"""A sandbox as a process of its own: started, found again, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.base.pod_folders import remove_pod_folders
from sandbox.base.proc_files import started_at
from sandbox.base.settings import SandboxSettings
from sandbox.kubelet.processes import kill_everything

_PROJECT = Path(__file__).parents[2]
START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LOG_LINES = 15


@dataclass(frozen=True)
class ServerProcess:
    """The process that runs a sandbox.

    :param started: with the pid it names the process for good (:func:`sandbox.base.proc_files.started_at`).
    """

    pid: int
    started: int

    @classmethod
    def find(cls, state: StateDirectory) -> ServerProcess | None:
        """The one of that state folder, if it lives."""
        try:
            noted = cls(**json.loads(lock_file(state).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return noted if noted.alive else None

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return started_at(self.pid) == self.started

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that does not help; returns when it has ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + _STOP_SECONDS
            while self.alive and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            if not self.alive:
                return
        raise SandboxError(f"the sandbox's server, process {self.pid}, does not end")


def lock_file(state: StateDirectory) -> Path:
    """Locked by the process that runs the sandbox, and tells which one that is."""
    return state.root / "server.lock"


def log_file(state: StateDirectory) -> Path:
    """What a sandbox in the background prints."""
    return state.root / "server.log"


def describe(state: StateDirectory) -> dict[str, Any]:
    """URL and settings of the sandbox that is up in that folder.

    :raises SandboxError: none is.
    """
    found = _description(state)
    if found is None:
        raise SandboxError(f"no sandbox is up in {state.root}: start it with `python -m sandbox up`")
    return found


def _description(state: StateDirectory) -> dict[str, Any] | None:
    """What the server that lives has written; None before it is ready."""
    server = ServerProcess.find(state)
    try:
        found: dict[str, Any] = json.loads(state.description.read_text())
    except FileNotFoundError:
        return None
    return found if server is not None and found["pid"] == server.pid else None


def instructions(state: StateDirectory) -> str:
    """How to use a sandbox that is up."""
    description = describe(state)
    return (
        f"The sandbox is up: {description['url']}\n{description['note']}\n"
        f"    export KUBECONFIG={state.kubeconfig}\n"
        "    kubectl -n openshift-image-registry get pods\n"
        "    python -m sandbox seed      # images and orphaned blobs\n"
        "    python -m sandbox status\n"
        "    python -m sandbox down\n"
    )


def start(state: StateDirectory, settings: SandboxSettings, options: list[str]) -> bool:
    """Start a sandbox in a process of its own; returns when it is ready.

    :param options: of ``python -m sandbox up`` that make these settings.
    :returns: False if one was up (or about to be) already; it stays as it is.
    :raises SandboxError: it does not come up; the message has the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS + settings.readiness + settings.container_start
    present = ServerProcess.find(state)
    if present is not None:
        _wait_until_ready(state, lambda: present.alive, deadline)
        return False
    state.root.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_PROJECT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "sandbox", "--state", str(state.root), "up", "--foreground", *options]
    with log_file(state).open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        # Somebody else's `up` may have been quicker; then that one is waited for.
        _wait_until_ready(state, lambda: child.poll() is None or ServerProcess.find(state) is not None, deadline)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    return True


def _wait_until_ready(state: StateDirectory, alive: Callable[[], bool], deadline: float) -> None:
    while _description(state) is None:
        if not alive():
            raise SandboxError(f"the sandbox has not come up:\n{_end_of_log(state)}")
        if time.monotonic() > deadline:
            raise SandboxError(f"the sandbox is not ready in time:\n{_end_of_log(state)}")
        time.sleep(_POLL_SECONDS)


def _end_of_log(state: StateDirectory) -> str:
    lines = log_file(state).read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:]) or "(it has printed nothing)"


def stop(state: StateDirectory) -> str:
    """End a sandbox and every process of its pods, whatever is left of it.

    :returns: what was ended, for people.
    """
    server = ServerProcess.find(state)
    if server is not None:
        server.end()
    left = kill_everything(state.root)
    remove_pod_folders(state)
    for leftover in (state.description, state.kubeconfig):
        leftover.unlink(missing_ok=True)
    if server is not None:
        return f"The sandbox in {state.root} is down; its storage is kept."
    if left:
        return f"The sandbox's server was gone already; {left} processes that it had left behind were ended."
    return f"No sandbox was up in {state.root}."
