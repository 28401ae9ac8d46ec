"""A delete that lives on its own in a registry pod: the shell scripts that start it and follow it (pure).

They need a POSIX shell and coreutils, ``/proc``, and one folder that can be written to; no ``ps``, ``awk``, ``grep`` or
root. *Making the folder of an attempt is starting it*: ``mkdir`` succeeds for one alone, so that of any number of
starters one starts and the others find it. For that all of them have to try the same place: the first folder that can
be written to, whatever room it has. The log goes where there is room: into that folder, or into one beside it that
``home`` in it leads to. In the two are

=============  ========================================================================================================
``log.N``      the pruner's stderr in segments, the last few alone. The first line of each has the counts of all before
``counts``     these counts up to now
``out``        the beginning of its stdout: the summary
``ended``      its exit status; appears, whole, once its output has been written
``holder``     whose attempt it is
``given-up``   in the first: somebody found no process of it; what starts late does not start any more
=============  ========================================================================================================

What has to be written whatever happens, ``counts`` and ``ended``, gets its place while there is room, and is written
over: others can fill the folder while the delete works.

Its processes are known by a variable in their environment, which every child inherits.
"""

from __future__ import annotations

import math

from include.registry_prune.pruner.dockerregistry import CLOSING_MARKER, EXECUTABLE, LOGGING, WRITABLE_FOLDERS
from include.registry_prune.pruner.process_scripts import ATTEMPT_VARIABLE, GIVEN_UP

FIRST_SEGMENT = 1_000_000
"""Without leading zeros, which a shell takes for octal."""
NOT_STARTED_STATUS = 75
"""Exit status of an attempt that did not start its pruner, because the window is being closed or it was given up."""
NO_ROOM_STATUS = 73
"""Exit status of the start command when no folder takes the log."""
SMALLEST_LOG_BYTES, LARGEST_LOG_BYTES = 256 << 10, 32 << 20
"""What the files of an attempt may be allowed to take: a segment is an eighth of it, and ``/dev/shm`` has 64 MiB."""
_KEPT_SEGMENTS = 6
_CHUNK_BYTES = 3 * 65536
"""Of the log in one line; a multiple of three, so that none but a last one ends in base64's padding."""
_OUT_BYTES = 16384
_BACKLOG_SECONDS = 10
"""A look whose time is over tells for so long what it has not told yet: who takes over begins later still."""
_FOLDERS = " ".join(WRITABLE_FOLDERS)


# The first line is what a search for pruners shows of it. Signals are caught, not ignored: what is ignored stays so in
# the pruner. Whoever asks the pruner to stop asks this shell too, and its exit status has to be kept.
_WRAPPER = f"""# registry-prune, detached: dockerregistry -prune=delete
trap : HUP INT TERM
cd "$1" || exit 1
home=.
[ ! -d home ] || home=home
for mark in {GIVEN_UP} {" ".join(f"{folder}/{CLOSING_MARKER}" for folder in WRITABLE_FOLDERS)}; do
  [ ! -e "$mark" ] || {{
    cd "$home"
    echo the window is being closed, or this attempt was given up > out
    echo {NOT_STARTED_STATUS} > ended.new; mv ended.new ended; exit; }}
done
cd "$home" || exit 1
printf '%-99s\\n' 'counts 0 0 0 0' > counts
printf '%-9s\\n' '' > ended.new
{{ {{ {{
  trap : HUP INT TERM
  {LOGGING} {EXECUTABLE} -prune=delete 2>&1 >&3 3>&-
  printf '%-9s\\n' $? 1<> ended.new
}} | SHELL=/bin/sh LC_ALL=C split -C "$3" -d -a 7 --numeric-suffixes={FIRST_SEGMENT} --filter="$2" - log.
}} 3>&1 >/dev/null 2>&1 | {{ trap : HUP INT TERM; head -c {_OUT_BYTES} > out; cat > /dev/null; }}; }}
read -r status < ended.new
[ -z "$status" ] || mv ended.new ended
"""

# Runs once for each segment, one after the other. A segment that cannot be written is read all the same: the pruner
# must not wait, and its blobs are counted as they come by. `nl` is the tool of coreutils that takes a regular
# expression: it numbers the lines that match. Where lines are missing, the count of lines shows it to who follows.
# Where every line is of a blob, as nearly always, nothing else is looked for: each program that is started here takes
# the pruner's time.
_FILTER = f"""old=$((${{FILE#log.}} - {_KEPT_SEGMENTS})); rm -f "log.$old" missed
read -r word blobs links repositories lines < counts
number() {{ nl -p -b "p$1" -h "p$1" -f "p$1" -w 9 -s ' ' | cut -b 1-9 | sort -n | tail -n 1; }}
new=$(($({{ cat counts; cat; }} | {{ tee "$FILE" 2>/dev/null || true > missed; }} |
  number 'msg["=:]*Deleting blob: ') + 0))
ends=$(($(wc -l < "$FILE") - 1))
if [ "$new" -ne "$ends" ] || [ -e missed ]; then
  links=$((links + $(number 'msg["=:]*Deleting manifest link: ' < "$FILE") + 0))
  repositories=$((repositories + $(number 'msg["=:]*Deleting repo: ' < "$FILE") + 0))
fi
blobs=$((blobs + new)) lines=$((lines + ends))
[ ! -e missed ] || lines=$((lines + 1))
printf '%-99s\\n' "counts $blobs $links $repositories $lines" 1<> counts
exit 0
"""

# A starter that finds the folder there has nothing to do with it any more. One that was killed while it tried out the
# room leaves a file `room`, in a folder that the next attempt in this pod looks into.
_START = f"""# registry-prune starts a delete: dockerregistry -prune=delete
first=
for folder in {_FOLDERS}; do
  [ ! -d "$folder/$1" ] || {{ echo found; exit 0; }}
  [ -n "$first" ] || [ ! -d "$folder" ] || [ ! -w "$folder" ] || first=$folder
done
no_room() {{
  echo "none of {_FOLDERS} can be written to and has room for $1 bytes" >&2
  df -Pk {_FOLDERS} >&2
  exit {NO_ROOM_STATUS}
}}
[ -n "$first" ] || no_room "$3"
lock=$first/$1
mkdir "$lock" 2>/dev/null || {{
  [ ! -d "$lock" ] || {{ echo found; exit 0; }}
  no_room "$3"; }}
for folder in {_FOLDERS}; do
  rm -f "$folder"/registry-prune-*/room 2>/dev/null
done
home=
for folder in {_FOLDERS}; do
  try=$folder/$1
  [ "$folder" = "$first" ] || {{ try=$try.home; mkdir "$try" 2>/dev/null || continue; }}
  {{ head -c "$3" /dev/zero > "$try/room"; }} 2>/dev/null
  full=$?
  rm -f "$try/room" 2>/dev/null
  [ $full -ne 0 ] || {{ home=$try; break; }}
  [ "$try" = "$lock" ] || rmdir "$try" 2>/dev/null
done
[ -n "$home" ] || {{ rmdir "$lock"; no_room "$3"; }}
[ "$home" = "$lock" ] || ln -s "$home" "$lock/home" || {{ rmdir "$home" "$lock"; no_room "$3"; }}
printf '%s\\n' "$2" > "$home/holder"
session=nohup
! command -v setsid > /dev/null || session=setsid
$session /bin/sh -c "$4" "$1" "$lock" "$5" $(($3 / 8)) < /dev/null > /dev/null 2>&1 &
echo started
"""

# To look at one process forks once, and a node has hundreds: the one that was found is looked at first.
_ALIVE = f"""known=
belongs() {{
  case " $({{ tr '\\0' ' ' < "$1/environ"; }} 2>/dev/null) " in
    *" {ATTEMPT_VARIABLE}=$name "*) return 0;;
  esac
  return 1
}}
alive() {{
  [ -z "$known" ] || ! belongs "$known" || return 0
  for process in /proc/[0-9]*; do
    ! belongs "$process" || {{ known=$process; return 0; }}
  done
  return 1
}}
"""

# The mark is made before the last look: either the late starter is seen, or it sees the mark. The time is the kernel's
# own: it needs no process, and nobody sets it. The end is told only when all of the log has been.
_LOOK = f"""# registry-prune looks at a delete
{_ALIVE}
state_of() {{
  state=running
  if [ -e ended ]; then read -r number < ended; state="ended $number"; return; fi
  [ $second -ne $said ] || return
  alive || {{ sleep 0.2; [ -e ended ] || alive; }} || {{ true > "$lock/{GIVEN_UP}"; sleep 0.2; alive; }} || state=gone
  [ ! -e ended ] || {{ read -r number < ended; state="ended $number"; }}
}}
send() {{
  while :; do
    if [ ! -e "log.$segment" ]; then
      next=
      for each in log.*; do
        [ ! -e "$each" ] || [ "${{each#log.}}" -lt "$segment" ] || {{ next=${{each#log.}}; break; }}
      done
      [ -n "$next" ] || return 0
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
      [ -n "$whole" ] || [ "$length" -ge {_CHUNK_BYTES} ] || return 0
      clock
      [ $second -lt $((last + {_BACKLOG_SECONDS})) ] || return 1
    elif [ -n "$whole" ]; then
      segment=$((segment + 1)) offset=0
    else
      return 0
    fi
  done
}}
clock() {{ read -r second rest < /proc/uptime; second=${{second%.*}}; }}
name=$1 segment=$2 offset=$3 rounds=$4 pause=$5 seconds=$6 round=0 said=-1
for folder in {_FOLDERS}; do
  [ ! -d "$folder/$name" ] || break
  folder=
done
[ -n "$folder" ] || {{ echo absent .; exit 0; }}
lock=$folder/$name
cd "$lock" || exit 1
clock
last=$((second + seconds))
while :; do
  [ ! -d home ] || cd home || exit 1
  state_of
  send || exit 0
  if [ "$state" != running ]; then
    [ ! -e out ] || echo "out $(base64 -w 0 < out)"
    echo "$state ."
    exit 0
  fi
  [ $second -eq $said ] || echo running
  said=$second round=$((round + 1))
  clock
  [ $round -lt "$rounds" ] && [ $second -le $last ] || exit 0
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
    :param seconds: how long to look. It may take ten seconds more, and not longer: what it still has to tell is left
        to the next.
    :param pause: seconds between two looks at the log; the end is noticed so late.
    :return: a command whose lines :class:`detached_log.DeleteLog` reads.
    """
    rounds = max(round(seconds / pause), 1)
    numbers = (str(segment), str(offset), str(rounds), str(pause), str(math.ceil(seconds)))
    return ("/bin/sh", "-c", _LOOK, "registry-prune", name, *numbers)
