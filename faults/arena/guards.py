"""What closes a window that its run left open: Airflow's guard, or the one in the cluster."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from faults import PROJECT
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.pruner.processes import PrunerLivesError
from include.registry_prune.window.closing import ClosingLimits
from include.registry_prune.window.guard import guard
from include.registry_prune.window.lease import LeaseError

log = logging.getLogger(__name__)

NAMESPACE = "registry-prune"
LIMITS = ClosingLimits(settle_seconds=60, stop_seconds=5, reopen_anyway_seconds=600)
JOB_SECONDS = 300


def guard_round(cluster: Cluster, *, over: bool = True) -> None:
    """One look of Airflow's guard, without Airflow.

    :param over: it knows that the run is over.
    """
    try:
        guard(cluster, limits=LIMITS, run_is_over=lambda _holder: over)
    except (ClusterError, LeaseError, NotSettledError, PrunerLivesError) as error:
        log.warning("The guard's round failed: %s", error)


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    """Run kubectl; returns what it printed.

    :raises subprocess.CalledProcessError: if it fails.
    """
    command = [
        str(Path(sys.executable).parent / "kubectl"),
        f"--kubeconfig={kubeconfig}",
        f"--cache-dir={kubeconfig.parent / 'kubectl-cache'}",
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=JOB_SECONDS + 30).stdout


class InClusterGuard:
    """``deploy/guard.yaml`` in the sandbox: Jobs that really run, with their own account and without Airflow.

    :param kubeconfig: of a cluster-admin; the manifests are written beside it.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._rounds = 0

    def install(self) -> None:
        """Apply the manifests. The sandbox's pods have no image: this Python, with this project on its path."""
        documents = list(yaml.safe_load_all((PROJECT / "deploy" / "guard.yaml").read_text(encoding="utf-8")))
        for document in documents:
            if document["kind"] == "CronJob":
                _run_here(document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0])
        manifest = self._kubeconfig.with_name("guard.yaml")
        manifest.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        kubectl(self._kubeconfig, "apply", "-f", str(manifest))

    def round(self) -> None:
        """One Job, awaited; that it fails is for the next one to mend."""
        self._rounds += 1
        job = f"round-{self._rounds}"
        in_namespace = f"--namespace={NAMESPACE}"
        kubectl(self._kubeconfig, in_namespace, "create", "job", job, "--from=cronjob/registry-guard")
        try:
            kubectl(
                self._kubeconfig,
                in_namespace,
                "wait",
                "--for=condition=Complete",
                f"job/{job}",
                f"--timeout={JOB_SECONDS}s",
            )
        except subprocess.CalledProcessError as error:
            log.warning("The guard's Job did not complete: %s", error.stderr)
        log.info("Log of the guard in the cluster:\n%s", kubectl(self._kubeconfig, in_namespace, "logs", f"job/{job}"))


def _run_here(container: dict[str, Any]) -> None:
    container["command"][0] = sys.executable
    container["args"] += [
        f"--settle-limit={LIMITS.settle_seconds:.0f}s",
        f"--pruner-stop={LIMITS.stop_seconds:.0f}s",
    ]
    container["env"] = [{"name": "PYTHONPATH", "value": str(PROJECT)}]
