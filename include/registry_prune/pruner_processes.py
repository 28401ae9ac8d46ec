"""Whether a pruner lives in a registry pod, and its end.

A pruner outlives the connection and the task that started it: it is looked for where it runs. The image has a POSIX
shell and coreutils; ``ps`` may be missing, ``/proc`` is there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.dockerregistry import CLOSING_MARKER, WRITABLE_FOLDERS, Stream
from include.registry_prune.pod_exec import run_in_pod
from include.registry_prune.registry_state import PodState, RegistryState

log = logging.getLogger(__name__)

DELETED_POD_SECONDS = 120.0
"""How long a deleted pod may take to be gone: twice the registry pods' grace of 55 s."""
_LOOK_SECONDS = 30.0
_POLL_SECONDS = 0.5
# The bracket keeps this script from finding itself. A process that ends while it is looked at is none.
_FIND = (
    "for directory in /proc/[0-9]*; do "
    "line=$(tr '\\0' ' ' 2>/dev/null < $directory/cmdline) || continue; "
    'case "$line" in *[d]ockerregistry*" -prune="*) echo "${directory##*/} $line";; esac; '
    "done; exit 0"
)
FIND_COMMAND = ("/bin/sh", "-c", _FIND)
# First the marker, then the search: a delete that saw no marker is found, its shell's command line names the pruner.
_FORBID = " || ".join(f"{{ true > {folder}/{CLOSING_MARKER}; }} 2>/dev/null" for folder in WRITABLE_FOLDERS)
FORBID_AND_FIND_COMMAND = ("/bin/sh", "-c", f"{_FORBID}; {_FIND}")


class PrunerLivesError(Exception):
    """It could not be made sure that no pruner lives; the message names the pods."""


def _signal_command(signal: str, pids: list[int]) -> tuple[str, ...]:
    return ("/bin/sh", "-c", f"kill -{signal} {' '.join(str(pid) for pid in pids)} 2>/dev/null; exit 0")


def _find(cluster: Cluster, pod: PodState, command: tuple[str, ...] = FIND_COMMAND) -> dict[int, str]:
    """Process id and command line of every pruner in a pod.

    :raises ClusterError: if the pod could not be looked into.
    """
    found: dict[int, str] = {}

    def take(stream: Stream, line: str) -> None:
        pid, _, command = line.partition(" ")
        if stream is Stream.STDOUT and pid.isdigit():
            found[int(pid)] = command.strip()

    end = run_in_pod(cluster, pod.name, command, take, limit_seconds=_LOOK_SECONDS)
    if end.exit_status != 0:
        raise ClusterError(f"pod {pod.name} could not be searched for a pruner: {end.how}")
    return found


def _searchable(state: RegistryState) -> list[PodState]:
    return [pod for pod in state.pods if not pod.ended and pod.phase == "Running"]


def living_pruners(cluster: Cluster, state: RegistryState) -> list[str]:
    """The pruners in every pod of ``state``, in words.

    :raises ClusterError: if a pod that is still there could not be looked into.
    """
    found = []
    for pod in _searchable(state):
        try:
            found += [f"pod {pod.name}: process {pid}: {line}" for pid, line in _find(cluster, pod).items()]
        except ClusterError:
            if _is_gone(cluster, pod):
                continue
            raise
    return found


def _is_gone(cluster: Cluster, pod: PodState) -> bool:
    return pod.uid not in {each.uid for each in _searchable(cluster.registry_state())}


def end_pruners(
    cluster: Cluster, *, stop_seconds: float, last_resort: bool = True, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Make sure that no pruner lives in any registry pod, and that no delete of ours starts in them any more.

    Each is asked to stop (SIGTERM: it ends between two blobs), killed after ``stop_seconds``, and where even that or
    the look into the pod fails, the pod is deleted.

    :param last_resort: delete a pod that cannot be looked into. Not needed where no delete was begun in the window:
        then a pod on a dead node must not keep the registry closed.

    :return: how many pruners were ended.
    :raises PrunerLivesError: if a pod could neither be searched nor deleted.
    """
    ended = 0
    for pod in _searchable(cluster.registry_state()):
        try:
            ended += _end_in_pod(cluster, pod, stop_seconds, sleep)
        except ClusterError as error:
            if _is_gone(cluster, pod):
                continue
            if not last_resort:
                log.warning("Pod %s could not be searched, but no delete was begun in this window: %s", pod.name, error)
                continue
            log.warning("Pod %s is deleted, because it is not known whether a pruner lives in it: %s", pod.name, error)
            _delete_and_wait(cluster, pod, sleep)
    return ended


def _end_in_pod(cluster: Cluster, pod: PodState, stop_seconds: float, sleep: Callable[[float], None]) -> int:
    pruners = _find(cluster, pod, FORBID_AND_FIND_COMMAND)
    if not pruners:
        return 0
    count = len(pruners)
    for signal, patience in (("TERM", stop_seconds), ("KILL", 10.0)):
        log.warning("Pod %s: a pruner still lives, it gets SIG%s: %s", pod.name, signal, pruners)
        run_in_pod(cluster, pod.name, _signal_command(signal, list(pruners)), _ignore, limit_seconds=_LOOK_SECONDS)
        deadline = time.monotonic() + patience
        while pruners and time.monotonic() < deadline:
            sleep(_POLL_SECONDS)
            pruners = _find(cluster, pod)
        if not pruners:
            log.info("Pod %s: no pruner lives any more", pod.name)
            return count
    raise ClusterError(f"pod {pod.name}: a pruner does not end: {pruners}")


def _ignore(_stream: Stream, _line: str) -> None:
    return None


def _delete_and_wait(cluster: Cluster, pod: PodState, sleep: Callable[[float], None]) -> None:
    cluster.delete_pod(pod.name, uid=pod.uid)
    deadline = time.monotonic() + DELETED_POD_SECONDS
    while not _is_gone(cluster, pod):
        if time.monotonic() > deadline:
            raise PrunerLivesError(
                f"Pod {pod.name} could neither be searched for a pruner nor deleted within {DELETED_POD_SECONDS:.0f} s."
                " The registry stays read-only until that is known: look at the pod's node."
            )
        sleep(_POLL_SECONDS)
