"""Which processes belong to which pod, and how they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sandbox.base.proc_files import (
    CONTAINER_VARIABLE,
    POD_UID_VARIABLE,
    STATE_VARIABLE,
    environment,
    pod_processes,
    present_pids,
)
from sandbox.kubelet.orphans import Orphans

_YOUNG_SECONDS = 2.0
"""A process may still be between fork and exec, with its parent's environment: look again until it is that old."""
_KILL_INTERVAL_SECONDS = 0.01
_KILL_ROUNDS = 300
_EMPTY_ROUNDS = 2
"""A process has no environment for a moment when it becomes another program: look twice."""


def send_signal(pid: int, pod_uid: str, number: signal.Signals) -> None:
    """Send a signal to that process if it still is one of that pod."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if environment(pid).get(POD_UID_VARIABLE) == pod_uid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def kill_together(find: Callable[[], Mapping[int, str]]) -> Iterator[None]:
    """SIGKILL for processes as if at one moment, as the kernel does to a container's: nobody outlives another.

    They are stopped first: a shell whose child was killed would go on with its script.

    :param find: the processes there are: pid to uid of the pod.
    :returns: an iterator that gives way after each round (wait a little then) and ends when none is left.
    :raises RuntimeError: some of them do not end.
    """
    empty_rounds = 0
    for _ in range(_KILL_ROUNDS):
        stopped: set[int] = set()
        while new := {pid: uid for pid, uid in find().items() if pid not in stopped}:
            for pid, uid in new.items():
                send_signal(pid, uid, signal.SIGSTOP)
            stopped.update(new)
        present = find()
        for pid, uid in present.items():
            send_signal(pid, uid, signal.SIGKILL)
        empty_rounds = 0 if present else empty_rounds + 1
        if empty_rounds == _EMPTY_ROUNDS:
            return
        yield
    raise RuntimeError(f"processes in pods do not end: {sorted(present)}")


def kill_everything(state_root: Path) -> int:
    """End every process of every pod of a sandbox.

    :returns: how many there were.
    :raises RuntimeError: some of them do not end.
    """
    ended: set[int] = set()

    def find() -> dict[int, str]:
        found = {pid: variables[POD_UID_VARIABLE] for pid, variables in pod_processes(state_root).items()}
        ended.update(found)
        return found

    for _ in kill_together(find):
        time.sleep(_KILL_INTERVAL_SECONDS)
    return len(ended)


class ProcessTable:
    """The processes of a sandbox's pods, looked up often and cheaply.

    :param state_root: the sandbox's folder.
    :param zombies: keep processes that have ended and that nobody waits for (:mod:`sandbox.kubelet.orphans`).
    """

    def __init__(self, state_root: Path, *, zombies: bool = False) -> None:
        self._state_root = str(state_root)
        self._orphans = Orphans() if zombies else None
        self._strangers: dict[int, float] = {}
        self._members: dict[int, tuple[str, str]] = {}

    def adopt_orphans(self, wanted: bool) -> None:
        """Begin or stop keeping zombies, if that is wanted at all."""
        if self._orphans is not None:
            self._orphans.adopt(wanted)

    def note_spawned(self, pid: int, pod_uid: str, container: str) -> None:
        """The sandbox has started this process in a container, and waits for it."""
        if self._orphans is not None:
            self._orphans.note(pid, (pod_uid, container))

    def refresh(self) -> None:
        """Look at ``/proc`` again."""
        if self._orphans is not None:
            self._orphans.refresh(self._members.get)
        now = time.monotonic()
        present = present_pids()
        self._strangers = {pid: seen for pid, seen in self._strangers.items() if pid in present}
        for pid in present:
            first_seen = self._strangers.get(pid, now)
            if pid in self._strangers and now - first_seen > _YOUNG_SECONDS:
                continue
            variables = environment(pid)
            if variables.get(STATE_VARIABLE) == self._state_root and POD_UID_VARIABLE in variables:
                self._members[pid] = (variables[POD_UID_VARIABLE], variables.get(CONTAINER_VARIABLE, ""))
                self._strangers.pop(pid, None)
            else:
                self._members.pop(pid, None)
                self._strangers[pid] = first_seen
        self._members = {pid: member for pid, member in self._members.items() if pid in present}

    def of_pod(self, pod_uid: str, container: str | None = None) -> set[int]:
        """The pids of a pod (of one of its containers) at the last :meth:`refresh`."""
        return {
            pid
            for pid, (uid, container_name) in self._members.items()
            if uid == pod_uid and container in (None, container_name)
        }

    def shown_in_pod(self, pod_uid: str) -> set[int]:
        """The pids that a pod sees: those of its processes, and of zombies."""
        return self.of_pod(pod_uid) | (self._orphans.of_pod(pod_uid) if self._orphans is not None else set())

    async def kill_pod(self, pod_uid: str, container: str | None = None) -> None:
        """SIGKILL for all processes of a pod (of one of its containers); returns when they are gone."""

        def find() -> dict[int, str]:
            self.refresh()
            return dict.fromkeys(self.of_pod(pod_uid, container), pod_uid)

        for _ in kill_together(find):
            await asyncio.sleep(_KILL_INTERVAL_SECONDS)
        if self._orphans is not None:
            self._orphans.release(pod_uid, container)
