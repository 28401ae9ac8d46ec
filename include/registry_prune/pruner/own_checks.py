"""A run's own checks (dry run, integrity check) in the registry's pods: how they are known there, and their end.

A check ends with its connection only as far as its caller goes: the process lives on in its container, for hours on
large storage. There it would be taken for a pruner of somebody else, and nothing else would be started beside it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.pod_exec import in_each_pod
from include.registry_prune.pruner.process_scripts import CHECK_VARIABLE, checks_named
from include.registry_prune.pruner.processes import end_in_pod

log = logging.getLogger(__name__)


class CheckKind(StrEnum):
    """Which check: one of each may be at work in a run at the same time."""

    DRY_RUN = "dry-run"
    INTEGRITY = "integrity"


def own_checks(holder: str, kind: CheckKind) -> str:
    """The beginning of the names of a run's checks of one kind.

    :param holder: ``dag_id/run_id``.
    """
    return f"registry-prune-{hashlib.sha256(holder.encode()).hexdigest()[:16]}-{kind}-"


def new_check(holder: str, kind: CheckKind) -> str:
    """Name of a check that begins now: no other try has the same."""
    return own_checks(holder, kind) + secrets.token_hex(8)


def named_command(name: str, command: Sequence[str]) -> tuple[str, ...]:
    """A check's command, known by its name in its pod from the first moment on."""
    return ("env", f"{CHECK_VARIABLE}={name}", *command)


def end_checks(cluster: Cluster, pods: Iterable[str], name: str) -> None:
    """End the checks with this name in these pods, and wait until they are gone. Nothing else is touched, and nothing
    is forbidden to start there.

    As far as that can be done: what cannot is said. Whoever must be sure that no pruner lives looks for that itself.

    :param pods: their names.
    :param name: of :func:`new_check`, or the beginning of several, of :func:`own_checks`.
    """

    def end(pod: str) -> None:
        try:
            # A check changes nothing, so it is killed without being asked.
            end_in_pod(cluster, pod, checks_named(name), stop_seconds=0)
        except ClusterError as error:
            log.warning("%s", error)

    in_each_pod(list(pods), end)
