"""A program for tests: a tree of processes that is hard to end. Every process says hello in a file.

``main FOLDER`` starts a child, a grandchild in a session of its own that ignores SIGTERM, and an orphan;
``supervise FOLDER`` starts that as :mod:`local_airflow` does, waits for Ctrl-C and ends all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROLES = ("main", "child", "stubborn", "orphan")


def hello(folder: Path, role: str) -> None:
    file = folder / f"{role}.pid"
    draft = folder / f"{role}.draft"
    draft.write_text(str(os.getpid()), encoding="ascii")
    draft.rename(file)


def spawn(folder: Path, role: str, *, session: bool = False) -> None:
    subprocess.Popen([sys.executable, __file__, role, str(folder)], start_new_session=session)


def supervise(folder: Path) -> int:
    from local_airflow.instance import processes
    from local_airflow.interruption import Interrupted, Interruption

    with Interruption() as interruption:
        environment = processes.with_mark(os.environ, folder, "airflow")
        command = [sys.executable, __file__, "main", str(folder)]
        processes.start(command, environment, folder / "tree.log", folder)
        try:
            interruption.wait(300)
        except Interrupted:
            hello(folder, "cleaning")
        left = processes.end_all(lambda: processes.marked(folder), patience_seconds=2.0)
    return len(left)


def play(role: str, folder: Path) -> int:
    if role == "supervise":
        return supervise(folder)
    if role == "main":
        spawn(folder, "child")
        spawn(folder, "parent_of_orphan")
    if role == "child":
        spawn(folder, "stubborn", session=True)
    if role == "parent_of_orphan":
        spawn(folder, "orphan", session=True)
        return 0
    if role == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hello(folder, role)
    time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(play(sys.argv[1], Path(sys.argv[2])))
