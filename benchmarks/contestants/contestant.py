"""Who prunes: what all of them have in common."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks.contestants.observer import WindowObserver
from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox

KUBECTL = Path(sys.executable).parent / "kubectl"
MIN_BLOBS = 1_000
"""As many orphans make a delete worth it, for all contestants (the project's default)."""
ROLE_BINDING = "benchmark-image-pruner"


@dataclass(frozen=True)
class Arena:
    """Where the contestants meet.

    :param folder: for what they write.
    :param orphans: how many there are to prune.
    """

    sandbox: Sandbox
    observer: WindowObserver
    folder: Path
    orphans: int = 0


class Contestant(Protocol):
    """One way to prune a registry."""

    name: str
    user: str
    """Whose requests to the API server are its own."""

    def ready(self, arena: Arena) -> AbstractContextManager[None]:
        """What is there anyway when a run begins, such as an Airflow; it is not measured."""

    def prune(self) -> None:
        """One run, from its begin to its end; on a quiet day it finds nothing worth a delete."""

    def processes(self) -> Iterable[psutil.Process]:
        """Whose CPU time and memory count; none: they are not measured."""


class Kubectl:
    """The real kubectl as the cluster's administrator, in the registry's namespace."""

    def __init__(self, arena: Arena) -> None:
        self._words = [
            str(KUBECTL),
            f"--kubeconfig={arena.sandbox.kubeconfig}",
            f"--cache-dir={arena.folder / 'kubectl-cache'}",
        ]

    def __call__(self, *arguments: str, errors: Path | None = None) -> str:
        """What it prints.

        :param errors: where its standard error goes; None: it is a part of the exception if it fails.
        :raises subprocess.CalledProcessError: if it fails.
        """
        command = [*self._words, f"--namespace={NAMESPACE}", *arguments]
        if errors is None:
            return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()
        with errors.open("w", encoding="utf-8") as stream:
            return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=stream).stdout.strip()

    def apply(self, manifest: Path) -> None:
        """Make the objects of a file, in the namespaces that it names."""
        subprocess.run([*self._words, "apply", "-f", str(manifest)], check=True, capture_output=True)

    def grant_role(self) -> None:
        """Step 4 of the documentation; ``oc adm policy add-cluster-role-to-user`` does the same."""
        account = self("get", "deployment/image-registry", "-o", "jsonpath={.spec.template.spec.serviceAccountName}")
        self(
            *("create", "clusterrolebinding", ROLE_BINDING, "--clusterrole=system:image-pruner"),
            f"--serviceaccount={NAMESPACE}:{account}",
        )

    def revoke_role(self) -> None:
        """Take the role away."""
        self("delete", "clusterrolebinding", ROLE_BINDING, "--ignore-not-found")

    def running_pod(self) -> str:
        """A registry pod that is ready and not terminating."""
        template = (
            "{{range .items}}{{if not .metadata.deletionTimestamp}}{{$name := .metadata.name}}"
            '{{range .status.conditions}}{{if and (eq .type "Ready") (eq .status "True")}}{{$name}} {{end}}{{end}}'
            "{{end}}{{end}}"
        )
        return self("get", "pods", "-l", "docker-registry=default", "-o", f"go-template={template}").split()[0]
