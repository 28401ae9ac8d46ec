"""The sandbox cluster, driven by its command line as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local_airflow.errors import LocalAirflowError
from local_airflow.instance import processes
from local_airflow.instance.state import StateFolder
from local_airflow.interruption import Interruption

SERVICE_ACCOUNT = ("registry-prune", "registry-prune")
RIGHTS = ("rbac.yaml", "exact-delete-rbac.yaml")
"""In ``deploy``: of the account that the DAG works with."""
"""Namespace and name of the account that ``deploy/rbac.yaml`` makes for the DAG."""

POLL_SECONDS = 0.05
DOWN_LIMIT_SECONDS = 20.0


class SandboxCluster:
    """A sandbox in a state folder.

    :param project: the project's root, where the package ``sandbox`` and ``deploy/rbac.yaml`` are.
    """

    def __init__(self, state: StateFolder, project: Path, interruption: Interruption) -> None:
        self._state = state
        self._project = project
        self._interruption = interruption
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        inherited["PYTHONPATH"] = str(project)
        inherited.pop("KUBECONFIG", None)
        self._environment = processes.with_mark(inherited, state.root, "sandbox")

    def prepare(self, seed_arguments: Sequence[str]) -> str:
        """Start it, fill its registry, and give the DAG's service account the documented rights.

        :param seed_arguments: options of ``python -m sandbox seed``.
        :return: what ``seed`` printed: the images and orphans that there are now.
        :raises LocalAirflowError: if one of the commands fails.
        """
        self._sandbox("up")
        manifests = [self._project / "deploy" / name for name in RIGHTS]
        files = [word for manifest in manifests if manifest.is_file() for word in ("-f", str(manifest))]
        if files:
            kubectl = Path(sys.executable).parent / "kubectl"
            admin = self._state.sandbox / "kubeconfig"
            self._run([str(kubectl), "--kubeconfig", str(admin), "apply", *files])
        self._sandbox("kubeconfig", *SERVICE_ACCOUNT, "--output", str(self._state.kubeconfig))
        return self._sandbox("seed", *seed_arguments)

    def start_verification(self) -> subprocess.Popen[bytes]:
        """Start ``sandbox verify``; what it finds goes to :attr:`verification_log`."""
        self.verification_log.unlink(missing_ok=True)
        return self._start(self._command("verify"), self.verification_log)

    @property
    def verification_log(self) -> Path:
        """What ``sandbox verify`` printed."""
        return self._state.root / "verify.log"

    def down(self) -> None:
        """Stop it. Nothing is raised: who calls this looks afterwards for what is left and ends it."""
        if not self._state.sandbox.exists():
            return
        child = self._start(self._command("down"), self._state.sandbox_log)
        try:
            child.wait(DOWN_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "sandbox", "--state", str(self._state.sandbox), *arguments]

    def _sandbox(self, *arguments: str) -> str:
        return self._run(self._command(*arguments))

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        return processes.start(command, self._environment, log, self._project)

    def _run(self, command: list[str]) -> str:
        """Run a command to its end and return what it printed."""
        log = self._state.sandbox_log
        begin = log.stat().st_size if log.exists() else 0
        child = self._start(command, log)
        while child.poll() is None:
            self._interruption.wait(POLL_SECONDS)
        output = log.read_bytes()[begin:].decode(errors="replace").strip()
        if child.returncode != 0:
            shown = " ".join(command)
            raise LocalAirflowError(f"{shown} ended with exit status {child.returncode}:\n{output}")
        return output
