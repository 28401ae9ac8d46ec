"""Processes in pods whose parent has ended, kept as zombies when they end themselves.

In a real registry pod the first process is ``dockerregistry``: the kernel makes it the parent of every orphan in the
container, and it waits for none of them. On this machine the first process is an init that does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sandbox.base.proc_files import PROC, is_zombie, session

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become children of this process."""

Owner = tuple[str, str]
"""Uid of a pod, and name of its container."""


class Orphans:
    """The orphans of a sandbox's pods, as children of this process."""

    def __init__(self) -> None:
        self._spawned: dict[int, Owner] = {}
        self._zombies: dict[int, Owner] = {}

    def adopt(self, wanted: bool) -> None:
        """From now on this process is the parent of orphans, or not any more.

        :raises OSError: the system does not let it.
        """
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl PR_SET_CHILD_SUBREAPER")

    def note(self, pid: int, owner: Owner) -> None:
        """A process that the sandbox itself has started in a session of its own, and waits for."""
        self._spawned[pid] = owner

    def refresh(self, known: Callable[[int], Owner | None]) -> None:
        """Look for zombies.

        :param known: whose process that was while it lived, if it was seen then.
        """
        zombies: dict[int, Owner] = {}
        for pid in _children():
            if pid in self._spawned or not is_zombie(pid):
                continue
            owner = self._zombies.get(pid) or known(pid) or self._spawned.get(session(pid))
            if owner is not None:
                zombies[pid] = owner
        self._zombies = zombies

    def of_pod(self, pod_uid: str) -> set[int]:
        """The zombies in a pod."""
        return {pid for pid, (uid, _) in self._zombies.items() if uid == pod_uid}

    def release(self, pod_uid: str, container: str | None) -> None:
        """The pod (or one of its containers) has ended: its zombies go."""
        for pid, (uid, name) in list(self._zombies.items()):
            if uid == pod_uid and container in (None, name):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                del self._zombies[pid]


def _children() -> Iterator[int]:
    for task in (PROC / "self" / "task").iterdir():
        with contextlib.suppress(OSError):
            yield from map(int, Path(task / "children").read_text().split())
