"""How processes are found and ended in a registry pod: one shell script, and who is meant (pure).

A pruner outlives the connection and the task that started it: it is looked for where it runs. The image has a POSIX
shell and coreutils; ``ps`` may be missing, ``/proc`` is there.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd, Stream
from include.registry_prune.pruner.dockerregistry import CLOSING_MARKER, WRITABLE_FOLDERS

log = logging.getLogger(__name__)

ATTEMPT_VARIABLE, CHECK_VARIABLE = "HARD_PRUNE_ATTEMPT", "HARD_PRUNE_CHECK"
"""In the environment of a delete's processes, and of a check's. Not ``REGISTRY_…``: the pruner warns of variables of
that kind that it does not know."""
GIVEN_UP = "given-up"
"""File in the folder of a delete's attempt: what starts late does not start any more."""
KILL_SECONDS = 10.0
"""How long a killed process may take to be gone."""
_LOOK_SECONDS, _CHECK_SECONDS = 30.0, 10.0
_ROUNDS_PER_SECOND = 10
_FOLDERS = " ".join(WRITABLE_FOLDERS)
_FORBID = " || ".join(f"{{ true > {folder}/{CLOSING_MARKER}; }} 2>/dev/null" for folder in WRITABLE_FOLDERS)
_GIVE_UP = f"""for folder in {_FOLDERS}; do
  [ ! -d "$folder/$name" ] || true > "$folder/$name/{GIVEN_UP}"
done"""


class Processes(NamedTuple):
    """Which processes of a pod are meant.

    :param what: for people.
    :param variable: they have this variable in their environment; empty: any.
    :param name: its value.
    :param whole_name: or ``name`` is the beginning of the value.
    :param only_pruners: they are pruners, or shells that start one and say so in their first line.
    :param mark: shell that forbids others to start, before these are ended.
    """

    what: str
    variable: str = ""
    name: str = ""
    whole_name: bool = True
    only_pruners: bool = True
    mark: str = ""


EVERY_PRUNER = Processes("a pruner", mark=_FORBID)


def pruner_of_attempt(name: str) -> Processes:
    """The pruner of one attempt of the delete, and no other; the attempt does not start any more."""
    return Processes("the pruner of this delete", ATTEMPT_VARIABLE, name, mark=_GIVE_UP)


EVERY_DELETE_OF_OURS = Processes("a delete of this project", ATTEMPT_VARIABLE, "registry-prune-", whole_name=False)
"""The pruners that this project started, of whatever window."""


def checks_named(name: str) -> Processes:
    """The checks whose name begins so. Nothing is forbidden to start."""
    return Processes("a check of this run", CHECK_VARIABLE, name, whole_name=False, only_pruners=False)


# All four spellings are a pruner: Go's flags take one dash or two, and their value behind "=" or as the next word. The
# bracket keeps this script from finding itself. A process that ends while it is looked at is none. Of a script that
# starts a pruner the first line is shown; it says so.
_EACH = """each() {
  for directory in /proc/[0-9]*; do
    line=$({ tr '\\0' ' ' < "$directory/cmdline"; } 2>/dev/null) || continue
    case $kind:$line in
      pruner:*[d]ockerregistry*" -prune"[=\\ ]*|pruner:*[d]ockerregistry*" --prune"[=\\ ]*|any:*) ;;
      *) continue;;
    esac
    if [ -n "$own" ]; then
      case " $({ tr '\\0' ' ' < "$directory/environ"; } 2>/dev/null) " in
        *" $own"*) ;;
        *) continue;;
      esac
    fi
    found "${directory##*/}" "${line%%"
"*}"
  done
}
"""
FIND_COMMAND = ("/bin/sh", "-c", f'{_EACH}found() {{ echo "$1 $2"; }}\nkind=pruner own=\neach; exit 0')
# First the mark, then the search: a delete that saw no mark is found, its starter's command line names the pruner. What
# starts, or becomes another program, in the middle of a search may be missed by it: two in a row have to find nothing.
# Whatever appears in between gets the signal too: a starter that was asked to end may still have started its pruner.
_END = f"""{_EACH}
found() {{
  clean=0
  case $told in *" $1 "*) return;; esac
  ! kill -$signal "$1" 2>/dev/null || echo "SIG$signal $1 $2"
  told="$told$1 "
}}
signal=TERM told=' ' round=0 clean=0
while :; do
  [ $round -ne "$patience" ] || signal=KILL told=' '
  clean=$((clean + 1))
  each
  [ $clean -lt 2 ] || exit 0
  [ $round -lt "$last" ] || exit 1
  round=$((round + 1))
  sleep 0.1
done
"""


def end_command(which: Processes, stop_seconds: float) -> tuple[str, ...]:
    """Ends processes in a pod; exit status 0 once none of them lives.

    It prints a line for each process that was told to end: the signal, the process's id and its command line.

    :param stop_seconds: how long they may take when asked (a pruner ends between two blobs); then they are killed. 0:
        they are killed at once.
    """
    own = f"{which.variable}={which.name}{' ' if which.whole_name else ''}" if which.variable else ""
    rounds = round(stop_seconds * _ROUNDS_PER_SECOND)
    last = round((stop_seconds + KILL_SECONDS) * _ROUNDS_PER_SECOND)
    script = f"""# registry-prune ends {which.what}
kind=$1 own=$2 name=$3 patience=$4 last=$5
{which.mark}
{_END}"""
    kind = "pruner" if which.only_pruners else "any"
    return ("/bin/sh", "-c", script, "registry-prune", kind, own, which.name, str(rounds), str(last))


class Ending:
    """The end of some processes in one pod: what is run there, and what came of it, whatever runs it."""

    def __init__(self, which: Processes, pod: str, stop_seconds: float) -> None:
        self.command = end_command(which, stop_seconds)
        # What is killed at once is a check: where its end is not known soon, that is no reason to wait for it.
        self.limit_seconds = KILL_SECONDS + (stop_seconds + _LOOK_SECONDS if stop_seconds else _CHECK_SECONDS)
        self._what, self._pod = which.what, pod
        self._ended: set[str] = set()

    def take(self, stream: Stream, line: str) -> None:
        """Take a line that the command printed."""
        signal, _, process = line.partition(" ")
        if stream is Stream.STDOUT and signal.startswith("SIG"):
            self._ended.add(process)
            log.warning("Pod %s: sent %s to %s, which still lives: process %s", self._pod, signal, self._what, process)

    def ended(self, end: ExecEnd) -> int:
        """How many processes were ended, the shells that look after them among them.

        :param end: how the command ended.
        :raises ClusterError: if it is not known that none lives.
        """
        if end.exit_status != 0:
            raise ClusterError(f"pod {self._pod}: {self._what} may still live in it: {end.how}")
        if self._ended:
            log.info("Pod %s: ended: %s", self._pod, self._what)
        return len(self._ended)
