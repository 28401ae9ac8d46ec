"""The files that a pod sees, and where they really are: a pod of the sandbox has no file system of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from sandbox.base.object_storage import CREDENTIALS
from sandbox.base.paths import StateDirectory

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_SERVICE_CA = "/var/run/configmaps/serviceca"
_CLOUD_CREDENTIALS = "/var/run/secrets/cloud"
_OUR_WORK = "/var/run/registry-prune"
_SHARED_MEMORY = "shm"


def shared_memory_bytes(state: StateDirectory, pod_uid: str) -> int:
    """What the files in a pod's ``/dev/shm`` take."""
    total = 0
    for folder, _, names in os.walk(state.pod(pod_uid) / _SHARED_MEMORY):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(folder) / name).lstat().st_size
    return total


class PodFiles:
    """The folder of one pod.

    :param state: the sandbox's folder; its path must not need quoting in a shell.
    :param shared_memory: False: nothing can be written to ``/dev/shm``.
    """

    def __init__(self, state: StateDirectory, pod_uid: str, *, shared_memory: bool = True) -> None:
        self.root = state.pod(pod_uid)
        self.service_account = self.root / "serviceaccount"
        self.shared_memory = self.root / _SHARED_MEMORY
        self.ca_trust = self.root / "ca-trust"
        self.processes = self.root / "proc"
        self.logs = self.root / "logs"
        self.cloud_credentials = self.root / "cloud"
        self.our_work = self.root / "registry-prune"
        self._places = {
            "/usr/bin/dockerregistry": state.executables / "dockerregistry",
            "/usr/bin/oc": state.executables / "oc",
            "/registry": state.storage,
            _SERVICE_ACCOUNT: self.service_account,
            _SERVICE_CA: self.service_account,
            _CLOUD_CREDENTIALS: self.cloud_credentials,
            _OUR_WORK: self.our_work,
            # Below a file nothing can be made, not even by root.
            "/dev/shm": self.shared_memory if shared_memory else self.service_account / "token" / _SHARED_MEMORY,
            "/etc/pki/ca-trust/extracted": self.ca_trust,
            "/proc": self.processes,
        }
        alternatives = "|".join(sorted(map(re.escape, self._places), key=len, reverse=True))
        # Only whole paths: neither /docker/registry nor /registry-backup nor /usr/bin/octave is meant.
        self._pattern = re.compile(rf"(?<![\w./-])(?:{alternatives})(?![\w.-])")

    def create(self, token: str, namespace: str, ca_certificate: str) -> None:
        """Make the folder, with the files of the service account."""
        for folder in (
            self.service_account, self.shared_memory, self.ca_trust, self.processes, self.logs,
            self.cloud_credentials, self.our_work,
        ):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)
        contents = {
            "token": token, "namespace": namespace, "ca.crt": ca_certificate, "service-ca.crt": ca_certificate
        }  # fmt: skip
        for name, content in contents.items():
            (self.service_account / name).write_text(content)
        (self.cloud_credentials / "credentials").write_text(CREDENTIALS)
        self.link_processes(())

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def translate(self, text: str) -> str:
        """The text with every container path replaced by the real one."""
        return self._pattern.sub(lambda match: str(self._places[match.group()]), text)

    def link_processes(self, pids: Iterable[int]) -> None:
        """Make the pod's ``/proc`` show these processes, and no others; and ``self`` and ``uptime``."""
        wanted = {str(pid) for pid in pids} | {"self", "uptime"}
        try:
            present = {entry.name for entry in self.processes.iterdir()}
            for name in wanted - present:
                (self.processes / name).symlink_to(Path("/proc") / name)
            for name in present - wanted:
                (self.processes / name).unlink()
        except FileNotFoundError:
            return  # The pod's end removed the folder meanwhile.
