"""Runs of ``dockerregistry`` in a registry pod that are worth nothing without their connection: dry run, integrity
check."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd, Stream
from include.registry_prune.cluster.pod_exec import run_in_pod
from include.registry_prune.cluster.registry_state import RegistryState
from include.registry_prune.pruner.dockerregistry import (
    CHECK_COMMAND,
    DELETABLE,
    INTEGRITY_COMMAND,
    LineKind,
    PrunerResult,
)
from include.registry_prune.pruner.integrity import IntegrityCheck, IntegrityOutput
from include.registry_prune.pruner.output import PrunerOutput
from include.registry_prune.pruner.own_checks import CheckKind, end_checks, named_command, new_check, own_checks
from include.registry_prune.pruner.progress import Progress, show

log = logging.getLogger(__name__)


class CandidateSink(Protocol):
    """Keeps the list of what the pruner names."""

    def add(self, kind: LineKind, subject: str) -> object:
        """Keep one line."""

    def add_blobs(self, digests: Sequence[bytes]) -> object:
        """Keep many blobs, 64 hexadecimal digits each."""


def choose_pod(state: RegistryState) -> str:
    """The pod to work in: ready and not terminating.

    :raises ClusterError: if there is none.
    """
    ready = state.ready_pods()
    if not ready:
        raise ClusterError(
            "No registry pod is ready, so there is none to run the pruner in: repair the registry first."
        )
    return ready[0].name


def run_dry_run(
    cluster: Cluster,
    pod: str,
    *,
    holder: str,
    limit_seconds: float,
    candidates: CandidateSink | None = None,
    artifact: str | None = None,
) -> PrunerResult:
    """Run the pruner in a pod with ``-prune=check`` and follow it to its end.

    Where its end is not known, it is ended, as far as that can be done.

    :param holder: ``dag_id/run_id``: by it the run's next try knows what this one left behind.
    :param candidates: gets each blob, link and repository as it is listed.
    :param artifact: where ``candidates`` are kept; goes into the result.
    :raises ClusterError: if the exec was refused, so that nothing was started.
    """
    output = PrunerOutput("check")
    progress = Progress("check", None)
    other_lines: Counter[LineKind] = Counter()

    def take(stream: Stream, block: bytes) -> None:
        understood = output.feed_block(stream, block)
        if candidates:
            candidates.add_blobs(understood.blobs)
        for line in understood.lines:
            if line.kind not in DELETABLE:
                other_lines[line.kind] += 1
                show(pod, line, other_lines[line.kind])
            elif candidates:
                candidates.add(line.kind, line.subject)
        progress.blobs(output.counts[LineKind.BLOB])

    log.info("dockerregistry -prune=check starts in pod %s", pod)
    started = time.monotonic()
    with _ended_if_unknown(cluster, pod, new_check(holder, CheckKind.DRY_RUN)) as check:
        command = named_command(check.name, CHECK_COMMAND)
        end = check.end = run_in_pod(cluster, pod, command, on_block=take, limit_seconds=limit_seconds)
    progress.say(output.counts[LineKind.BLOB])
    result = output.result(
        end.exit_status, ended_how=end.how, seconds=time.monotonic() - started, pod=pod, artifact=artifact
    )
    log.info("dockerregistry -prune=check in pod %s: %s; %s", pod, end.how, result.text())
    return result


def check_integrity(cluster: Cluster, pod: str, *, holder: str, limit_seconds: float) -> IntegrityCheck:
    """Ask the pruner's own integrity check which images lack blobs. It changes nothing.

    :param holder: as for :func:`run_dry_run`.
    :raises ClusterError: if the exec was refused.
    """
    output = IntegrityOutput()
    with _ended_if_unknown(cluster, pod, new_check(holder, CheckKind.INTEGRITY)) as check:
        command = named_command(check.name, INTEGRITY_COMMAND)
        end = check.end = run_in_pod(cluster, pod, command, output.feed, limit_seconds=limit_seconds)
    return output.result(end.exit_status, ended_how=end.how)


def end_leftovers(cluster: Cluster, state: RegistryState, *, holder: str, kind: CheckKind) -> None:
    """End what an earlier try of this run may have left behind in any registry pod, as far as that can be done."""
    end_checks(cluster, [pod.name for pod in state.running_pods()], own_checks(holder, kind))


class _Check:
    def __init__(self, name: str) -> None:
        self.name = name
        self.end: ExecEnd | None = None


@contextmanager
def _ended_if_unknown(cluster: Cluster, pod: str, name: str) -> Iterator[_Check]:
    """Ends a check that the work inside leaves without knowing its end; not one that was refused, and so not begun."""
    check = _Check(name)
    try:
        yield check
    except BaseException as error:
        refused = isinstance(error, ClusterError) and error.status != 0
        if not refused:
            end_checks(cluster, [pod], name)
        raise
    if check.end is not None and check.end.exit_status is None:
        end_checks(cluster, [pod], name)
