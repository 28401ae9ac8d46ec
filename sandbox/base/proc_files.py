"""What ``/proc`` tells of one process. Light to import: the stand-ins in pods have to start quickly."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
POD_UID_VARIABLE = "SANDBOX_POD_UID"
STATE_VARIABLE = "SANDBOX_STATE"
CONTAINER_VARIABLE = "SANDBOX_CONTAINER"
"""A pod's processes are known by their environment: every child inherits it, also one that has left the session
with ``setsid`` or whose parent has ended."""


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it is gone, a zombie or somebody else's."""
    try:
        content = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in content.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def pod_processes(state_root: Path) -> dict[int, dict[str, str]]:
    """All processes of a sandbox's pods now: pid to environment."""
    found = {}
    for pid in present_pids():
        variables = environment(pid)
        if POD_UID_VARIABLE in variables and variables.get(STATE_VARIABLE) == str(state_root):
            found[pid] = variables
    return found


def present_pids() -> set[int]:
    """All processes of this machine."""
    with os.scandir(PROC) as entries:
        return {int(entry.name) for entry in entries if entry.name.isdigit()}


def command_line(pid: int) -> list[str]:
    """The words of a process's command line; empty if it is gone."""
    try:
        content = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in content.split(b"\0") if word]


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it has ended.

    Together with the pid it names a process for good.
    """
    fields = _status_fields(pid)
    return None if not fields or fields[0] == "Z" else int(fields[19])


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent has not asked for its exit status."""
    return _status_fields(pid)[:1] == ["Z"]


def session(pid: int) -> int:
    """The session of a process, also of a zombie: the pid of its leader. 0 if the process is gone."""
    fields = _status_fields(pid)
    return int(fields[3]) if fields else 0


def _status_fields(pid: int) -> list[str]:
    """The fields of ``stat`` from the third on; none if the process is gone."""
    try:
        content = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    # The name, in parentheses, may hold spaces (proc_pid_stat(5)).
    return content.rpartition(")")[2].split()
