"""A pod for the scripts of a detached delete: a folder, a real shell, a pruner that the test writes; and waiting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.detached_delete import look_command, start_command
from include.registry_prune.deletion.detached_log import DeleteLog
from include.registry_prune.pruner.dockerregistry import CLOSING_MARKER, EXECUTABLE
from include.registry_prune.pruner.process_scripts import EVERY_PRUNER, Processes, end_command
from sandbox.cluster import Sandbox
from sandbox.registry.seed.inventory import SeedInventory

HOLDER = "registry_prune/manual__2026-01-01T00:00:00+00:00"
LOG_BYTES = 1 << 20
SHELLS = [Path(found) for found in map(shutil.which, ("dash", "bash")) if found]
"""Each that may be a pod's; bash keeps to POSIX when it is called ``sh``."""
UNTIL_TOLD = "trap 'exit 143' TERM; while :; do sleep 0.05; done"
SUMMARY = "echo Deleted 3 blobs; echo Freed up 312B of disk space"


def blob_lines(count: int, first: int = 0) -> str:
    """Shell that prints so many lines of deleted blobs, as the pruner does."""
    line = (
        '{"go.version":"go1.22.9","level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/%.2s/%s",'
        '"time":"2026-11-23T17:42:15.537475367Z"}'
    )
    return (
        f"seq {first} {first + count - 1} | while read -r n; do h=$(printf '%064x' $n); printf '{line}\\n' $h $h; done"
    )


class DetachedPod:
    """A folder that the scripts take for a registry pod's.

    Its path is short, as a pod's is: the target of a symbolic link of 128 characters or more takes room in a tmpfs.

    :param shell: the program that is the pod's ``/bin/sh``.
    """

    def __init__(self, shell: Path) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.shared_memory, self.ca_trust = folder / "shm", folder / "ca-trust"
        for each in (self.shared_memory, self.ca_trust, folder / "bin"):
            each.mkdir(parents=True)
        self._shell = folder / "bin" / "sh"
        self._shell.symlink_to(shell)
        self._pruner = folder / "bin" / "dockerregistry"
        self.name = f"registry-prune-{os.getpid()}-{time.monotonic_ns()}-1"
        self.journal = folder / "journal"
        self.pruner("exit 0")

    def pruner(self, script: str) -> None:
        """What the pod's ``dockerregistry`` does."""
        self._pruner.write_text(f"#!{self._shell}\necho start $$ >> {self.journal}\n{script}\n", encoding="utf-8")
        self._pruner.chmod(0o755)

    def translate(self, word: str) -> str:
        for path, real in (
            ("/etc/pki/ca-trust/extracted", self.ca_trust),
            ("/dev/shm", self.shared_memory),
            (EXECUTABLE, self._pruner),
            ("/bin/sh", self._shell),
        ):
            word = word.replace(path, str(real))
        return word

    def popen(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        """A command in the pod, as an exec starts it."""
        words = [self.translate(word) for word in command]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip

    def run(self, command: tuple[str, ...]) -> tuple[int, str, str]:
        """A command in the pod to its end."""
        process = self.popen(command)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def start(self, log_bytes: int = LOG_BYTES) -> tuple[int, str, str]:
        return self.run(start_command(self.name, HOLDER, log_bytes))

    def look(self, log: DeleteLog, seconds: float = 0.1) -> None:
        position = log.position()
        status, out, err = self.run(
            look_command(self.name, segment=position.segment, offset=position.offset, seconds=seconds)
        )
        assert (status, err) == (0, "")
        for line in out.splitlines():
            log.feed(Stream.STDOUT, line)

    def looked(self, log: DeleteLog) -> DeleteLog:
        """The log after one more look."""
        self.look(log)
        return log

    def follow(self, log: DeleteLog, seconds: float = 300) -> None:
        """Look until it is over."""
        deadline = time.monotonic() + seconds
        while not log.over:
            assert time.monotonic() < deadline, f"no end after {seconds} s"
            self.look(log, 1.0)

    @property
    def attempt(self) -> Path:
        """The attempt's folder, wherever it is."""
        return next(each / self.name for each in (self.shared_memory, self.ca_trust) if (each / self.name).exists())

    def starts(self) -> int:
        """How many pruners were started."""
        return len(self.journal.read_text().splitlines()) if self.journal.exists() else 0

    def processes(self) -> dict[int, str]:
        """The attempt's processes: pid and command line."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if f"HARD_PRUNE_ATTEMPT={self.name}\0".encode() in environment:
                found[int(process.name)] = words
        return found

    def kill(self, number: signal.Signals, of: Callable[[str], bool] = lambda _: True) -> None:
        """A signal for the attempt's processes."""
        for pid, words in self.processes().items():
            if of(words):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def only_here(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """A command that looks for pruners, for the processes of this pod alone: it has the machine's ``/proc``."""
        everywhere, here = "*[d]ockerregistry*", f"*{self.folder}*[d]ockerregistry*"
        assert sum(word.count(everywhere) for word in command) == 2, "with one dash, and with two"
        return tuple(word.replace(everywhere, here) for word in command)

    def end_command(self, stop_seconds: float, which: Processes = EVERY_PRUNER) -> tuple[str, ...]:
        """The command that ends pruners."""
        return self.only_here(end_command(which, stop_seconds))

    def close(self) -> None:
        """The marker that whoever closes the window leaves."""
        (self.shared_memory / CLOSING_MARKER).touch()

    def remove_processes(self) -> None:
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            self.kill(signal.SIGKILL)
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove_processes()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Return when it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def wait_until_deleted(sandbox: Sandbox, blobs: int) -> None:
    """Return when so many of the seeded orphans are gone. It asks the storage alone, and reads no content."""
    inventory = SeedInventory.read(sandbox.state)
    left = inventory.orphaned_blobs - blobs
    wait_for(lambda: len(sandbox.stored_digests() - inventory.needed) <= left)
