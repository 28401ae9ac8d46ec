"""Runs of ``dockerregistry`` in a registry pod: dry run, delete, integrity check; with progress and the list."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Literal, Protocol

from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.dockerregistry import (
    CANDIDATE_KINDS,
    CHECK_COMMAND,
    DELETE_COMMAND,
    INTEGRITY_COMMAND,
    Line,
    LineKind,
    PrunerOutput,
    PrunerResult,
    Stream,
)
from include.registry_prune.integrity import IntegrityCheck, IntegrityOutput
from include.registry_prune.pod_exec import run_in_pod
from include.registry_prune.registry_state import RegistryState

log = logging.getLogger(__name__)

FIRST_PROGRESS_SECONDS = 0.5
PROGRESS_SHARE = 0.05
"""Progress is said again after this share of the time so far: often at first, every few minutes after hours."""
SHOWN_LINES = 100
"""So many errors, warnings and unknown lines are shown in the log, of each kind; all are counted."""
_COMMANDS = {"check": CHECK_COMMAND, "delete": DELETE_COMMAND}


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


class _Progress:
    """Says every few seconds how far the pruner is."""

    def __init__(self, mode: Literal["check", "delete"], expected: int | None) -> None:
        self._verb = "listed" if mode == "check" else "deleted"
        self._expected = expected
        self._started = self._said = time.monotonic()

    def blobs(self, count: int) -> None:
        now = time.monotonic()
        pause = max(FIRST_PROGRESS_SECONDS, PROGRESS_SHARE * (now - self._started))
        if now - self._said >= pause:
            self._said = now
            self.say(count)

    def say(self, count: int) -> None:
        rate = count / max(time.monotonic() - self._started, 0.001)
        of = f" of {self._expected:,}" if self._expected else ""
        share = f" ({100 * count / self._expected:.0f} %)" if self._expected else ""
        log.info("progress: %s%s blobs %s%s, %.0f blobs/s", f"{count:,}", of, self._verb, share, rate)


def run_pruner(
    cluster: Cluster,
    pod: str,
    mode: Literal["check", "delete"],
    *,
    limit_seconds: float,
    expected_blobs: int | None = None,
    candidates: CandidateSink | None = None,
    artifact: str | None = None,
) -> PrunerResult:
    """Run the pruner in a pod and follow it to its end.

    :param expected_blobs: for the progress.
    :param candidates: gets each blob, link and repository as it is listed.
    :param artifact: where ``candidates`` are kept; goes into the result.
    :raises ClusterError: if the exec was refused, so that nothing was started.
    """
    output = PrunerOutput(mode)
    progress = _Progress(mode, expected_blobs)

    def take(stream: Stream, block: bytes) -> None:
        understood = output.feed_block(stream, block)
        if candidates:
            candidates.add_blobs(understood.blobs)
        for line in understood.lines:
            if line.kind not in CANDIDATE_KINDS:
                _show(pod, line, output.counts[line.kind])
            elif candidates:
                candidates.add(line.kind, line.subject)
        progress.blobs(output.counts[LineKind.BLOB])

    log.info("dockerregistry -prune=%s starts in pod %s", mode, pod)
    started = time.monotonic()
    end = run_in_pod(cluster, pod, _COMMANDS[mode], on_block=take, limit_seconds=limit_seconds)
    progress.say(output.counts[LineKind.BLOB])
    result = output.result(
        end.exit_status, ended_how=end.how, seconds=time.monotonic() - started, pod=pod, artifact=artifact
    )
    log.info("dockerregistry -prune=%s in pod %s: %s; %s", mode, pod, end.how, result.done())
    return result


def _show(pod: str, line: Line, count: int) -> None:
    """Put a line of the pruner into the task's log, unless it is a note or there were too many."""
    if count > SHOWN_LINES:
        return
    if line.kind in (LineKind.ERROR, LineKind.WARNING):
        log.warning("%s | %s: %s", pod, line.kind, line.subject)
    elif line.kind is LineKind.UNKNOWN:
        log.info("%s | %s", pod, line.subject[:1000])


def check_integrity(cluster: Cluster, pod: str, *, limit_seconds: float) -> IntegrityCheck:
    """Ask the pruner's own integrity check which images lack blobs. It changes nothing.

    :raises ClusterError: if the exec was refused.
    """
    output = IntegrityOutput()
    end = run_in_pod(cluster, pod, INTEGRITY_COMMAND, output.feed, limit_seconds=limit_seconds)
    return output.result(end.exit_status, ended_how=end.how)
