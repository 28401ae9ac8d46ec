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
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.cluster.pod_exec import in_each_pod, run_in_pod

log = logging.getLogger(__name__)

CHECK_VARIABLE = "HARD_PRUNE_CHECK"
"""Not ``REGISTRY_…``: the pruner warns of variables of that kind that it does not know."""
_END_SECONDS = 20.0
# A check changes nothing, so it is killed without being asked. Two searches in a row have to find nothing: what becomes
# another program in the middle of one has no environment for a moment.
_END = f"""# registry-prune ends its own checks
round=0 clean=0 told=' '
while [ $clean -lt 2 ]; do
  clean=$((clean + 1))
  for process in /proc/[0-9]*; do
    case " $({{ tr '\\0' ' ' < "$process/environ"; }} 2>/dev/null)" in
      *" {CHECK_VARIABLE}=$1"*)
        clean=0
        case $told in *" ${{process##*/}} "*) continue;; esac
        ! kill -KILL "${{process##*/}}" 2>/dev/null || echo "${{process##*/}}"
        told="$told${{process##*/}} ";;
    esac
  done
  round=$((round + 1))
  [ $round -lt 100 ] || exit 1
  [ $clean -gt 1 ] || sleep 0.1
done
"""


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
        def take(stream: Stream, line: str) -> None:
            if stream is Stream.STDOUT:
                log.warning(
                    "Pod %s: a check of this run, whose connection was lost, still lived: process %s is ended",
                    pod,
                    line,
                )

        try:
            ended = run_in_pod(cluster, pod, ("/bin/sh", "-c", _END, "sh", name), take, limit_seconds=_END_SECONDS)
        except ClusterError as error:
            log.warning("Pod %s: it is not known whether a check of this run still lives in it: %s", pod, error)
            return
        if ended.exit_status != 0:
            log.warning("Pod %s: it is not known whether a check of this run still lives in it: %s", pod, ended.how)

    in_each_pod(list(pods), end)
