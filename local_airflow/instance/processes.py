"""Child processes: starts them in sessions of their own, finds them whatever they became, ends them all."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

STATE_VARIABLE = "LOCAL_AIRFLOW_STATE"
"""Environment variable that every process of a state folder carries: the folder's absolute path."""

PART_VARIABLE = "LOCAL_AIRFLOW_PART"
"""Environment variable that says what a process belongs to: ``airflow`` or ``sandbox``."""

SANDBOX_STATE_VARIABLE = "SANDBOX_STATE"
"""What the sandbox itself gives to the processes of its pods: the sandbox's folder."""

CLOCK_TOLERANCE_SECONDS = 2.0
"""How far two readings of one process's start time may differ: the system counts it from the boot time,
which moves when somebody sets the clock."""

KILL_LIMIT_SECONDS = 10.0
"""How long a SIGKILL may take. A process that waits for a dead disk or network does not obey even that."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same number.

    :param name: what it is for, such as ``scheduler``.
    :param pid: its number.
    :param started: when it was started, seconds since the epoch.
    """

    name: str
    pid: int
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> ProcessIdentity:
        """Identity of a process that lives now, or has ended and was not waited for yet."""
        return cls(name, pid, float(psutil.Process(pid).create_time()))

    def find(self) -> psutil.Process | None:
        """The process, if it still lives; ``None`` if it ended, even if its number is in use again."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def start(
    command: list[str], environment: Mapping[str, str], log: Path, working_directory: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that the terminal's Ctrl-C does not reach it.

    :param log: file that its output is appended to.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            cwd=working_directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def with_mark(environment: Mapping[str, str], state_folder: Path, part: str) -> dict[str, str]:
    """The environment plus the variables by which all descendants are found again.

    A task runs in a process group of its own and may outlive its parents; the environment is what it
    cannot lose. ``SPT_NOENV`` keeps setproctitle, which Airflow uses, from writing over it.
    """
    return {**environment, STATE_VARIABLE: str(state_folder), PART_VARIABLE: part, "SPT_NOENV": "1"}


def marked(state_folder: Path, part: str | None = None) -> list[psutil.Process]:
    """All living processes of a state folder, this one excepted.

    :param part: only those of this part; ``None`` for all, the processes of the sandbox's pods included.
    """

    def belongs(environment: Mapping[str, str]) -> bool:
        if environment.get(STATE_VARIABLE) == str(state_folder):
            return part in (None, environment.get(PART_VARIABLE))
        in_pod = environment.get(SANDBOX_STATE_VARIABLE)
        return part in (None, "sandbox") and in_pod == str(state_folder / "sandbox")

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and belongs(process.environ()):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, a zombie, or another user's
    return found


def with_descendants(identities: Iterable[ProcessIdentity]) -> list[psutil.Process]:
    """The living processes among these and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for identity in identities:
        process = identity.find()
        if process is None:
            continue
        found[process.pid] = process
        try:
            found.update({child.pid: child for child in process.children(recursive=True)})
        except psutil.Error:
            continue
    found.pop(os.getpid(), None)
    return list(found.values())


def end_all(find: Callable[[], Iterable[psutil.Process]], patience_seconds: float = 5.0) -> list[str]:
    """End what ``find`` finds, and what that starts meanwhile: SIGTERM first, SIGKILL after a while.

    ``find`` is asked again until it twice finds nothing, because a process can be forked behind the back
    of the one who looks, and has no environment for a moment when it becomes another program.

    :param patience_seconds: how long a SIGTERM may take to be obeyed.
    :return: a description of each process that could not be ended; empty when all is well.
    """
    asked: set[int] = set()
    kill_after = time.monotonic() + patience_seconds
    give_up_after = kill_after + KILL_LIMIT_SECONDS
    empty = 0
    while True:
        alive = [process for process in find() if not _is_zombie(process)]
        empty = 0 if alive else empty + 1
        if empty == 2:
            return []
        now = time.monotonic()
        if now > give_up_after:
            return [describe(process) for process in alive]
        for process in alive:
            _signal(process, asked, kill=now > kill_after)
        time.sleep(0.05)


def describe(process: psutil.Process) -> str:
    """The process's number and the beginning of its command line."""
    try:
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        command = "?"
    return f"{process.pid} ({command[:100]})"


def _signal(process: psutil.Process, asked: set[int], *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        elif process.pid not in asked:
            asked.add(process.pid)
            process.terminate()
    except psutil.Error:
        pass  # gone by itself


def _is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended and only waits for its parent to ask how."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
