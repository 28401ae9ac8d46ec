"""Whether a pruner lives in a registry pod, and its end.

A pruner outlives the connection and the task that started it: it is looked for where it runs. The image has a POSIX
shell and coreutils; ``ps`` may be missing, ``/proc`` is there.
"""

from __future__ import annotations

import logging
import time

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.cluster.pod_exec import in_each_pod, run_in_pod
from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.pruner.dockerregistry import CLOSING_MARKER, WRITABLE_FOLDERS

log = logging.getLogger(__name__)

DELETED_POD_SECONDS = 120.0
"""How long a deleted pod may take to be gone: its grace, and a kubelet that is busy."""
PRUNER_GRACE_SECONDS = 1
"""Grace of a pod that is deleted because a pruner may live in it: its own is 55 s, 25 of them before anything in it is
told to end. Never 0: that takes the pod's object away at once, whatever still runs on the node."""
_LOOK_SECONDS = 30.0
_POLL_SECONDS = 0.5
KILL_SECONDS = 10.0
"""How long a killed process may take to be gone."""
# The bracket keeps this script from finding itself. A process that ends while it is looked at is none. Of a script
# that starts a pruner the first line is shown; it says so.
_EACH_PRUNER = """each_pruner() {
  for directory in /proc/[0-9]*; do
    line=$({ tr '\\0' ' ' < $directory/cmdline; } 2>/dev/null) || continue
    case "$line" in *[d]ockerregistry*" -prune="*) pruner "${directory##*/}" "${line%%"
"*}";; esac
  done
}
"""
FIND_COMMAND = ("/bin/sh", "-c", f'{_EACH_PRUNER}pruner() {{ echo "$1 $2"; }}; each_pruner; exit 0')
# First the marker, then the search: a delete that saw no marker is found, its starter's command line names the pruner.
# What starts in the middle of a search may be missed by it: two in a row have to find nothing. Whatever appears in
# between gets the signal too: a starter that was asked to end may still have started its pruner.
_FORBID = " || ".join(f"{{ true > {folder}/{CLOSING_MARKER}; }} 2>/dev/null" for folder in WRITABLE_FOLDERS)
_END = f"""{_FORBID}
{_EACH_PRUNER}
pruner() {{
  clean=0
  case $told in *" $1 "*) return;; esac
  ! kill -$signal "$1" 2>/dev/null || echo "SIG$signal $1 $2"
  told="$told$1 "
}}
signal=TERM told=' ' round=0 clean=0 patience=$1 last=$2
while :; do
  clean=$((clean + 1))
  each_pruner
  [ $clean -lt 2 ] || exit 0
  [ $round -ne "$patience" ] || signal=KILL told=' '
  [ $round -lt "$last" ] || exit 1
  round=$((round + 1))
  sleep 0.1
done
"""
_ROUNDS_PER_SECOND = 10


class PrunerLivesError(Exception):
    """It could not be made sure that no pruner lives; the message names the pods."""


def end_command(stop_seconds: float) -> tuple[str, ...]:
    """Forbids further deletes in a pod and ends every pruner in it; exit status 0 once none lives.

    It prints a line for each process that was told to end: the signal, the process's id and its command line.

    :param stop_seconds: how long they may take when asked; then they are killed.
    """
    rounds = round(stop_seconds * _ROUNDS_PER_SECOND)
    last = round((stop_seconds + KILL_SECONDS) * _ROUNDS_PER_SECOND)
    return ("/bin/sh", "-c", _END, "registry-prune", str(rounds), str(last))


def _find(cluster: Cluster, pod: PodState) -> dict[int, str]:
    """Process id and command line of every pruner in a pod.

    :raises ClusterError: if the pod could not be looked into.
    """
    found: dict[int, str] = {}

    def take(stream: Stream, line: str) -> None:
        pid, _, command = line.partition(" ")
        if stream is Stream.STDOUT and pid.isdigit():
            found[int(pid)] = command.strip()

    end = run_in_pod(cluster, pod.name, FIND_COMMAND, take, limit_seconds=_LOOK_SECONDS)
    if end.exit_status != 0:
        raise ClusterError(f"pod {pod.name} could not be searched for a pruner: {end.how}")
    return found


def living_pruners(cluster: Cluster, state: RegistryState) -> list[str]:
    """The pruners in every pod of ``state``, in words.

    :raises ClusterError: if a pod that is still there could not be looked into.
    """

    def look(pod: PodState) -> list[str]:
        try:
            return [f"pod {pod.name}: process {pid}: {line}" for pid, line in _find(cluster, pod).items()]
        except ClusterError:
            if _is_gone(cluster, pod):
                return []
            raise

    return [line for lines in in_each_pod(state.running_pods(), look) for line in lines]


def _is_gone(cluster: Cluster, pod: PodState) -> bool:
    return pod.uid not in {each.uid for each in cluster.registry_state().running_pods()}


def end_pruners(cluster: Cluster, *, stop_seconds: float, last_resort: bool = True) -> int:
    """Make sure that no pruner lives in any registry pod, and that no delete of ours starts in them any more.

    Each is asked to stop (SIGTERM: it ends between two blobs), killed after ``stop_seconds``, and where even that or
    the look into the pod fails, the pod is deleted.

    :param last_resort: delete a pod that cannot be looked into. Not needed where no delete was begun in the window:
        then a pod on a dead node must not keep the registry closed.

    :return: how many processes were ended: pruners, and the shells that look after them.
    :raises PrunerLivesError: if a pod could neither be searched nor deleted.
    """

    def end(pod: PodState) -> int:
        try:
            return _end_in_pod(cluster, pod, stop_seconds)
        except ClusterError as error:
            if _is_gone(cluster, pod):
                return 0
            if not last_resort:
                log.warning("Pod %s could not be searched, but no delete was begun in this window: %s", pod.name, error)
                return 0
            log.warning("Pod %s is deleted, because it is not known whether a pruner lives in it: %s", pod.name, error)
            _delete_and_wait(cluster, pod)
            return 0

    return sum(in_each_pod(cluster.registry_state().running_pods(), end))


def _end_in_pod(cluster: Cluster, pod: PodState, stop_seconds: float) -> int:
    ended: set[str] = set()

    def take(stream: Stream, line: str) -> None:
        signal, _, process = line.partition(" ")
        if stream is Stream.STDOUT and signal.startswith("SIG"):
            ended.add(process)
            log.warning("Pod %s: a pruner still lives, it gets %s: process %s", pod.name, signal, process)

    limit = stop_seconds + KILL_SECONDS + _LOOK_SECONDS
    end = run_in_pod(cluster, pod.name, end_command(stop_seconds), take, limit_seconds=limit)
    if end.exit_status != 0:
        raise ClusterError(f"pod {pod.name}: it could not be made sure that no pruner lives in it: {end.how}")
    if ended:
        log.info("Pod %s: no pruner lives any more", pod.name)
    return len(ended)


def _delete_and_wait(cluster: Cluster, pod: PodState) -> None:
    cluster.delete_pod(pod.name, uid=pod.uid, grace_seconds=PRUNER_GRACE_SECONDS)
    deadline = time.monotonic() + DELETED_POD_SECONDS
    while not _is_gone(cluster, pod):
        if time.monotonic() > deadline:
            raise PrunerLivesError(
                f"Pod {pod.name} could neither be searched for a pruner nor deleted within {DELETED_POD_SECONDS:.0f} s."
                " The registry stays read-only until that is known: look at the pod's node."
            )
        time.sleep(_POLL_SECONDS)
