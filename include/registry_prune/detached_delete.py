"""A delete that lives on its own in a registry pod: the shell scripts that start it and follow it (pure).

They need a POSIX shell and coreutils, ``/proc``, and one folder that can be written to; no ``ps``, ``awk``, ``grep`` or
root. Everything of an attempt is in one folder, and *making that folder is starting it*: ``mkdir`` succeeds for one
alone, so that of any number of starters one starts and the others find it. In the folder are

=============  ========================================================================================================
``log.N``      the pruner's stderr in segments, the last few alone. The first line of each has the counts of all before
``out``        the beginning of its stdout: the summary
``ended``      its exit status; appears, whole, once its output has been written
``holder``     whose attempt it is
``given-up``   somebody found no process of it: what starts late does not start any more
=============  ========================================================================================================

Its processes are known by a variable in their environment, which every child inherits.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from include.registry_prune.dockerregistry import CLOSING_MARKER, EXECUTABLE, LOGGING, WRITABLE_FOLDERS

ATTEMPT_VARIABLE = "HARD_PRUNE_ATTEMPT"
"""Not ``REGISTRY_…``: the pruner warns of variables of that kind that it does not know."""
FIRST_SEGMENT = 1_000_000
"""Without leading zeros, which a shell takes for octal."""
NOT_STARTED_STATUS = 75
"""Exit status of an attempt that did not start its pruner, because the window is being closed or it was given up."""
NO_ROOM_STATUS = 73
"""Exit status of the start command when no folder takes the log."""
SMALLEST_LOG_BYTES = 256 * 1024
_KEPT_SEGMENTS = 6
_CHUNK_BYTES = 49152
"""Of the log in one line; a multiple of three, so that none but a last one ends in base64's padding."""
_FOLDERS = " ".join(WRITABLE_FOLDERS)


def attempt_name(holder: str, armed_at: datetime, number: int) -> str:
    """Name of the folder of an attempt, and the value of its variable: the same for all who know of it.

    :param holder: ``dag_id/run_id``.
    :param armed_at: of the lease: a run that is cleared and arms anew does not find the attempts of its first window.
    """
    identity = hashlib.sha256(f"{holder} {armed_at.isoformat()}".encode()).hexdigest()[:16]
    return f"registry-prune-{identity}-{number}"


# The first line is what a search for pruners shows of it. Signals are caught, not ignored: what is ignored stays so in
# the pruner. Whoever asks the pruner to stop asks this shell too, and its exit status has to be kept.
_WRAPPER = f"""# registry-prune, detached: dockerregistry -prune=delete
trap : HUP INT TERM
cd "$1" || exit 1
for mark in given-up {" ".join(f"{folder}/{CLOSING_MARKER}" for folder in WRITABLE_FOLDERS)}; do
  [ ! -e "$mark" ] || {{
    echo the window is being closed, or this attempt was given up > out
    echo {NOT_STARTED_STATUS} > ended.new; mv ended.new ended; exit; }}
done
{{ {{ {{
  trap : HUP INT TERM
  {LOGGING} {EXECUTABLE} -prune=delete 2>&1 >&3 3>&-
  echo $? > ended.new
}} | SHELL=/bin/sh LC_ALL=C split -C "$3" -d -a 7 --numeric-suffixes={FIRST_SEGMENT} --filter="$2" - log.
}} 3>&1 >/dev/null 2>&1 | {{ trap : HUP INT TERM; head -c $(($3 / 2)) > out; cat > /dev/null; }}; }}
mv ended.new ended
"""

# Runs once for each segment, one after the other. A segment that cannot be written is read all the same: the pruner
# must not wait. `nl` is the tool of coreutils that takes a regular expression: it numbers the lines that match.
_FILTER = f"""old=$((${{FILE#log.}} - {_KEPT_SEGMENTS})); rm -f "log.$old"
{{ cat counts 2>/dev/null || echo counts 0 0 0 0; cat; }} > "$FILE" 2>/dev/null || cat > /dev/null
read -r word blobs links repositories lines < "$FILE"
count() {{
  nl -p -b "p$1" -h "p$1" -f "p$1" -w 9 -s ' ' "$FILE" | cut -b 1-9 | sort -n | tail -n 1
}}
blobs=$((blobs + $(count 'msg["=:]*Deleting blob: ') + 0))
links=$((links + $(count 'msg["=:]*Deleting manifest link: ') + 0))
repositories=$((repositories + $(count 'msg["=:]*Deleting repo: ') + 0))
lines=$((lines + $(wc -l < "$FILE") - 1))
echo counts "$blobs" "$links" "$repositories" "$lines" > counts.new && mv counts.new counts
exit 0
"""

_START = f"""# registry-prune starts a delete: dockerregistry -prune=delete
for folder in {_FOLDERS}; do
  [ ! -d "$folder/$1" ] || {{ echo found; exit 0; }}
done
for folder in {_FOLDERS}; do
  room=$folder/$1.room.$$
  {{ head -c "$3" /dev/zero > "$room"; }} 2>/dev/null
  full=$?
  rm -f "$room" 2>/dev/null
  [ $full -eq 0 ] || continue
  mkdir "$folder/$1" 2>/dev/null || {{
    [ ! -d "$folder/$1" ] || {{ echo found; exit 0; }}
    continue; }}
  printf '%s\\n' "$2" > "$folder/$1/holder"
  session=nohup
  ! command -v setsid > /dev/null || session=setsid
  $session /bin/sh -c "$4" "$1" "$folder/$1" "$5" $(($3 / 8)) < /dev/null > /dev/null 2>&1 &
  echo started
  exit 0
done
echo "none of {_FOLDERS} can be written to and has room for $3 bytes" >&2
df -Pk {_FOLDERS} >&2
exit {NO_ROOM_STATUS}
"""

_ALIVE = f"""alive() {{
  for process in /proc/[0-9]*; do
    case " $({{ tr '\\0' ' ' < "$process/environ"; }} 2>/dev/null) " in
      *" {ATTEMPT_VARIABLE}=$name "*) return 0;;
    esac
  done
  return 1
}}
"""

# The mark is made before the last look: either the late starter is seen, or it sees the mark.
_LOOK = f"""# registry-prune looks at a delete
{_ALIVE}
state_of() {{
  state=running
  if [ -e ended ]; then read -r number < ended; state="ended $number"; return; fi
  [ $((round % often)) -eq 0 ] || return
  alive || {{ sleep 0.2; [ -e ended ] || alive; }} || {{ true > given-up; sleep 0.2; alive; }} || state=gone
  [ ! -e ended ] || {{ read -r number < ended; state="ended $number"; }}
}}
send() {{
  while :; do
    if [ ! -e "log.$segment" ]; then
      next=
      for each in log.*; do
        [ ! -e "$each" ] || [ "${{each#log.}}" -lt "$segment" ] || {{ next=${{each#log.}}; break; }}
      done
      [ -n "$next" ] || return
      segment=$next offset=0
    fi
    whole=
    [ ! -e "log.$((segment + 1))" ] || whole=1
    data=$({{ tail -c +$((offset + 1)) "log.$segment" | head -c {_CHUNK_BYTES} | base64 -w 0; }} 2>/dev/null)
    if [ -n "$data" ]; then
      echo "log $segment $offset $data"
      length=$((${{#data}} / 4 * 3))
      case $data in *==) length=$((length - 2));; *=) length=$((length - 1));; esac
      offset=$((offset + length))
      # What is being written now waits for the next look: whoever runs after it forks all the time.
      [ -n "$whole" ] || [ "$length" -ge {_CHUNK_BYTES} ] || return
    elif [ -n "$whole" ]; then
      segment=$((segment + 1)) offset=0
    else
      return
    fi
  done
}}
name=$1 segment=$2 offset=$3 rounds=$4 pause=$5 often=$6 round=0
for folder in {_FOLDERS}; do
  [ ! -d "$folder/$name" ] || break
  folder=
done
[ -n "$folder" ] || {{ echo absent .; exit 0; }}
cd "$folder/$name" || exit 1
while :; do
  state_of
  send
  if [ "$state" != running ]; then
    [ ! -e out ] || echo "out $(base64 -w 0 < out)"
    echo "$state ."
    exit 0
  fi
  [ $((round % often)) -ne 0 ] || echo running
  round=$((round + 1))
  [ $round -lt "$rounds" ] || exit 0
  sleep "$pause"
done
"""


def start_command(name: str, holder: str, log_bytes: int) -> tuple[str, ...]:
    """Starts an attempt in a pod, or finds it: prints ``started`` or ``found``. Any number may call it, at once too.

    Ends at once; what it started has left its session and holds none of its streams. Exit status 73, with the reason
    on stderr, if no folder has room: then nothing was started.

    :param name: of :func:`attempt_name`.
    :param log_bytes: how much the files of the attempt may take together.
    """
    # The variable is there from the first moment on: nobody who looks takes this for an attempt without processes.
    prefix = ("env", f"{ATTEMPT_VARIABLE}={name}", "/bin/sh", "-c", _START, "registry-prune")
    return (*prefix, name, holder, str(log_bytes), _WRAPPER, _FILTER)


def look_command(name: str, *, segment: int, offset: int, seconds: float, pause: float = 0.2) -> tuple[str, ...]:
    """Prints what an attempt has logged since a point, and goes on so for a while, at most to the attempt's end.

    Once a second it prints a line in any case, so that a connection that is silent is known to be lost.

    :param segment: number of the log's segment to go on from; where it is gone, the oldest that is there.
    :param offset: in that segment, in bytes.
    :param seconds: how long to look.
    :param pause: seconds between two looks at the log; the end is noticed so late.
    :return: a command whose lines :class:`detached_log.DeleteLog` reads.
    """
    rounds, often = max(round(seconds / pause), 1), max(round(1 / pause), 1)
    numbers = (str(segment), str(offset), str(rounds), str(pause), str(often))
    return ("/bin/sh", "-c", _LOOK, "registry-prune", name, *numbers)
