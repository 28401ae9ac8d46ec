"""The scripts of a detached delete, run by the real shells: started once, followed to the end, in bounded space."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.detached_delete import (
    FIRST_SEGMENT,
    NO_ROOM_STATUS,
    NOT_STARTED_STATUS,
    look_command,
    start_command,
)
from include.registry_prune.deletion.detached_log import DeleteLog, DeleteState
from include.registry_prune.pruner.dockerregistry import LineKind, Summary
from include.registry_prune.pruner.output import Line
from include.registry_prune.pruner.process_scripts import EVERY_PRUNER, end_command
from tests.registry_prune.deletion.detached_pod import (
    HOLDER,
    LOG_BYTES,
    SHELLS,
    SUMMARY,
    UNTIL_TOLD,
    DetachedPod,
    blob_lines,
    wait_for,
)

ONE_BLOB = f"{blob_lines(1)} >&2"


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.name)
def pod(request: pytest.FixtureRequest) -> Iterator[DetachedPod]:
    with DetachedPod(request.param) as made:
        yield made


@pytest.fixture
def dash_pod() -> Iterator[DetachedPod]:
    with DetachedPod(Path("/bin/sh")) as made:
        yield made


def started(pod: DetachedPod) -> None:
    assert pod.start()[:2] == (0, "started\n")
    wait_for(lambda: pod.starts() == 1)


def test_a_delete_is_followed_to_its_summary_and_its_exit_status(pod: DetachedPod) -> None:
    pod.pruner(f"{blob_lines(3)} >&2\n{SUMMARY}")
    started(pod)
    lines: list[Line] = []
    log = DeleteLog(on_line=lines.append)
    pod.follow(log)
    assert (log.state, log.exit_status, log.blobs, log.lost) == (DeleteState.ENDED, 0, 3, False)
    assert [line.kind for line in lines] == [LineKind.BLOB] * 3
    result = log.result(ended_how="", seconds=1, pod="pod")
    assert result.complete
    assert result.said == Summary(blobs=3, rounded_bytes=312)
    assert pod.processes() == {}


def test_the_start_returns_while_the_pruner_works_and_holds_none_of_its_streams(pod: DetachedPod) -> None:
    pod.pruner(UNTIL_TOLD)
    started(pod)
    assert pod.processes(), "pod.start() has read both streams to their end, and the pruner lives"


def test_of_two_starters_at_once_one_starts_and_the_other_finds_it(dash_pod: DetachedPod) -> None:
    """Guards the mkdir: 50 times, three starters each."""
    dash_pod.pruner("exit 0")
    name = dash_pod.name
    for number in range(50):
        dash_pod.name = f"{name}{number}"
        starters = [dash_pod.popen(start_command(dash_pod.name, HOLDER, 1024)) for _ in range(3)]
        said = sorted(starter.communicate(timeout=300)[0].strip() for starter in starters)
        assert said == ["found", "found", "started"]
    wait_for(lambda: dash_pod.starts() == 50)
    wait_for(lambda: not dash_pod.processes())
    assert dash_pod.starts() == 50


def test_a_second_start_finds_an_attempt_that_has_ended(pod: DetachedPod) -> None:
    pod.pruner("exit 1")
    started(pod)
    pod.follow(DeleteLog())
    assert pod.start()[1] == "found\n"
    log = DeleteLog()
    pod.follow(log)
    assert (log.exit_status, log.interrupted) == (1, False)
    assert pod.starts() == 1


def test_the_holder_is_kept_as_it_is(pod: DetachedPod) -> None:
    holder = "dag/it's $HOME `date` \\n *"
    pod.run(start_command(pod.name, holder, LOG_BYTES))
    assert (pod.attempt / "holder").read_text() == holder + "\n"


def test_where_shared_memory_cannot_be_written_to_the_other_folder_is_taken(pod: DetachedPod) -> None:
    pod.shared_memory.rmdir()
    pod.shared_memory.touch()
    pod.pruner(ONE_BLOB)
    started(pod)
    assert pod.attempt.parent == pod.ca_trust
    log = DeleteLog()
    pod.follow(log)
    assert (log.exit_status, log.blobs) == (0, 1)


def test_where_no_folder_takes_the_log_nothing_is_started_and_the_reason_is_said(pod: DetachedPod) -> None:
    for folder in (pod.shared_memory, pod.ca_trust):
        folder.rmdir()
        folder.touch()
    status, out, err = pod.start()
    assert (status, out) == (NO_ROOM_STATUS, "")
    assert f"has room for {LOG_BYTES} bytes" in err
    assert "Filesystem" in err, "df tells how full they are"
    assert pod.starts() == 0
    log = DeleteLog()
    pod.look(log)
    assert log.state is DeleteState.ABSENT


def test_a_full_folder_is_passed_over(dash_pod: DetachedPod) -> None:
    """The room is tried out, not believed. More than the machine has: nothing takes it."""
    status, _, err = dash_pod.run(("/bin/sh", "-c", f"ulimit -f 100; {start_command('n', HOLDER, LOG_BYTES)[4]}",
                                   "x", dash_pod.name, HOLDER, str(LOG_BYTES), "", ""))  # fmt: skip
    assert status == NO_ROOM_STATUS, err
    assert list(dash_pod.shared_memory.iterdir()) == []
    assert dash_pod.starts() == 0


@pytest.fixture
def small_pod(dash_pod: DetachedPod) -> Iterator[DetachedPod]:
    """Its shared memory has 3 MiB, as a real file system has."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=3m", "none", str(dash_pod.shared_memory))
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted by root alone")
    yield dash_pod
    dash_pod.remove_processes()
    subprocess.run(("umount", "-l", str(dash_pod.shared_memory)), check=True)


def test_of_starters_for_whom_the_first_folder_is_now_full_and_now_not_one_starts(small_pod: DetachedPod) -> None:
    """Guards the one place for the mkdir: each starter tries out the room, and is in the other's way."""
    name = small_pod.name
    for number in range(40):
        small_pod.name = f"{name}{number}"
        starters = [small_pod.popen(start_command(small_pod.name, HOLDER, 2 << 20)) for _ in range(2)]
        assert sorted(each.communicate(timeout=300)[0] for each in starters) == ["found\n", "started\n"]
    wait_for(lambda: not small_pod.processes())


def test_where_the_first_folder_is_full_the_log_is_in_the_other_and_is_found(small_pod: DetachedPod) -> None:
    fill(small_pod)
    small_pod.pruner(f"{blob_lines(3)} >&2\n{SUMMARY}")
    started(small_pod)
    log = DeleteLog()
    small_pod.follow(log)
    assert (log.exit_status, log.blobs, log.lost) == (0, 3, False)
    assert (small_pod.ca_trust / f"{small_pod.name}.home" / "ended").exists()
    assert small_pod.start()[1] == "found\n"


def test_an_attempt_in_a_full_folder_that_was_given_up_lets_no_pruner_start(small_pod: DetachedPod) -> None:
    fill(small_pod)
    home = small_pod.ca_trust / f"{small_pod.name}.home"
    home.mkdir()
    lock = small_pod.shared_memory / small_pod.name
    lock.mkdir()
    (lock / "home").symlink_to(home)
    log = DeleteLog()
    small_pod.look(log, 2)
    assert log.state is DeleteState.GONE
    wrapper, its_filter = start_command(small_pod.name, HOLDER, LOG_BYTES)[-2:]
    small_pod.run(("/bin/sh", "-c", wrapper, small_pod.name, str(lock), its_filter, "1000"))
    assert small_pod.starts() == 0


def fill(pod: DetachedPod) -> None:
    with suppress(OSError), (pod.shared_memory / "somebody-else").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_folder_that_others_fill_in_mid_delete_costs_no_count_of_blobs(small_pod: DetachedPod) -> None:
    """Guards the counts that are written over and the blobs that are counted as they come by."""
    small_pod.pruner(f"{blob_lines(1000)} > {small_pod.folder}/chunk\n"
                     f"for n in $(seq 4); do cat {small_pod.folder}/chunk; done >&2; "
                     f"while [ ! -e {small_pod.folder}/go ]; do sleep 0.02; done; "
                     f"for n in $(seq 6); do cat {small_pod.folder}/chunk; done >&2\n{SUMMARY}")  # fmt: skip
    started(small_pod)
    log = DeleteLog()
    counted = []
    wait_for(lambda: small_pod.looked(log).blobs > 3000)
    counted.append(log.blobs)
    fill(small_pod)
    (small_pod.folder / "go").touch()
    while not log.over:
        small_pod.look(log)
        counted.append(log.blobs)
    assert counted == sorted(counted)
    assert (log.state, log.exit_status) == (DeleteState.ENDED, 0)
    assert (small_pod.attempt / "counts").read_text().split()[1] == "10000"
    assert log.blobs > 8000


def test_what_a_starter_that_was_killed_has_left_is_removed_by_the_next(pod: DetachedPod) -> None:
    killed = pod.shared_memory / "registry-prune-0-1"
    killed.mkdir()
    (killed / "room").write_bytes(bytes(LOG_BYTES))
    started(pod)
    assert not (killed / "room").exists()


@pytest.mark.parametrize(
    ("second_head", "blobs", "lost"),
    [
        ("counts 3 0 0 3", 5, False),
        ("counts 7 0 0 9", 9, True),
        ("counts 1 0 0 2", 5, True),
        ("counts 1 0", 5, True),
        ("counts a b c d", 5, True),
        ("", 5, True),
        ("\u00b2 \u00b2 \u00b2 \u00b2 \u00b2", 5, True),
    ],
)
def test_a_damaged_head_costs_no_count(second_head: str, blobs: int, lost: bool) -> None:
    line = '{"level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/00/%064x"}\n'
    log = DeleteLog()
    for segment, (head, first, count) in enumerate((("counts 0 0 0 0", 0, 3), (second_head, 3, 2))):
        text = head + "\n" + "".join(line % (first + number) for number in range(count))
        log.feed(Stream.STDOUT, f"log {FIRST_SEGMENT + segment} 0 {base64.b64encode(text.encode()).decode()}")
    assert (log.blobs, log.lost) == (blobs, lost)


def test_a_window_that_is_being_closed_lets_no_pruner_start(pod: DetachedPod) -> None:
    """Guards the marker."""
    pod.close()
    pod.start()
    log = DeleteLog()
    pod.follow(log)
    assert (log.exit_status, pod.starts()) == (NOT_STARTED_STATUS, 0)
    assert log.interrupted
    assert "the window is being closed" in log.result(ended_how="", seconds=0, pod="").unknown_lines[0]


def test_an_attempt_that_was_given_up_lets_no_pruner_start(pod: DetachedPod) -> None:
    """Guards the mark of who found no process: one that starts late does not start any more."""
    (pod.shared_memory / pod.name).mkdir()
    log = DeleteLog()
    pod.look(log, 2)
    assert log.state is DeleteState.GONE
    wrapper, its_filter = start_command(pod.name, HOLDER, LOG_BYTES)[-2:]
    folder = str(pod.shared_memory / pod.name)
    pod.run(("/bin/sh", "-c", wrapper, pod.name, folder, its_filter, "1000"))
    assert pod.starts() == 0
    assert (pod.attempt / "ended").read_text() == f"{NOT_STARTED_STATUS}\n"


def test_a_pruner_that_is_asked_to_stop_leaves_its_status_and_the_end_of_its_log(pod: DetachedPod) -> None:
    pod.pruner(f"{ONE_BLOB}\n{UNTIL_TOLD}")
    started(pod)
    status, out, _ = pod.run(pod.end_command(10))
    assert status == 0, out
    assert "SIGTERM" in out
    assert "SIGKILL" not in out
    log = DeleteLog()
    pod.follow(log)
    assert (log.state, log.exit_status, log.blobs, log.interrupted) == (DeleteState.ENDED, 143, 1, True)
    assert pod.processes() == {}


def test_a_pruner_that_ignores_the_question_is_killed_and_with_it_all_that_would_start_one(pod: DetachedPod) -> None:
    pod.pruner("trap '' TERM; while :; do sleep 0.05; done")
    started(pod)
    status, out, _ = pod.run(pod.end_command(0.5))
    assert status == 0
    assert "SIGKILL" in out
    wait_for(lambda: not pod.processes())


def test_a_start_in_the_middle_of_a_closing_is_found_or_does_not_start(dash_pod: DetachedPod) -> None:
    """Guards "first the marker, then the search, twice": a closing leaves nothing that starts a pruner later."""
    dash_pod.pruner(UNTIL_TOLD)
    name = dash_pod.name
    for number in range(10):
        dash_pod.name = f"{name}{number}"
        for mark in dash_pod.shared_memory.glob("*.closing"):
            mark.unlink()
        starter = dash_pod.popen(start_command(dash_pod.name, HOLDER, 1024))
        closer = dash_pod.popen(dash_pod.end_command(5))
        assert closer.wait(timeout=300) == 0
        starter.communicate(timeout=300)
        wait_for(lambda: not dash_pod.processes(), 5)
    starts = dash_pod.starts()
    dash_pod.name = f"{name}-later"
    dash_pod.start()
    wait_for((dash_pod.attempt / "ended").exists)
    assert dash_pod.starts() == starts


def test_killed_processes_are_an_interrupted_attempt_with_what_was_logged(pod: DetachedPod) -> None:
    """As when the container is restarted: the folder is still there, nothing of the attempt lives."""
    pod.pruner(f"{blob_lines(5)} >&2\n{UNTIL_TOLD}")
    started(pod)
    log = DeleteLog()
    wait_for(lambda: pod.looked(log).blobs == 5)
    while pod.processes():
        pod.kill(signal.SIGKILL)
    pod.look(log, 2)
    assert (log.state, log.exit_status, log.blobs, log.interrupted) == (DeleteState.GONE, None, 5, True)
    assert pod.start()[1] == "found\n"
    assert pod.starts() == 1


def test_the_log_stays_within_its_bound_and_every_count_is_exact(dash_pod: DetachedPod) -> None:
    """200,000 lines, nobody looks until the end: most of them are gone, no count is."""
    other = (
        '{"level":"info","msg":"Deleting manifest link: ns/name@sha256:%s"}',
        '{"level":"info","msg":"Deleting repo: /docker/registry/v2/repositories/ns/%s"}',
        "time=2026 level=info msg=%s",
    )
    more = "; ".join(f"printf '{line}\\n' $h" for line in other)
    dash_pod.pruner(f"yes_lines() {{ {blob_lines(1000)}; h=1; {more}; }}; yes_lines > {dash_pod.folder}/chunk\n"
                    f"for n in $(seq 200); do cat {dash_pod.folder}/chunk; done >&2\n{SUMMARY}")  # fmt: skip
    started(dash_pod)
    most = 0
    while not (dash_pod.attempt / "ended").exists():
        most = max(most, size_of(dash_pod.attempt))
        time.sleep(0.005)
    most = max(most, size_of(dash_pod.attempt))
    assert LOG_BYTES // 2 < most <= LOG_BYTES
    log = DeleteLog()
    dash_pod.follow(log)
    result = log.result(ended_how="", seconds=1, pod="pod")
    assert (result.counted_blobs, result.counted_manifest_links, result.counted_repositories) == (200_000, 200, 200)
    assert log.position().lines == 200 * 1003
    assert log.lost, "the list is incomplete, and that is known"
    assert result.complete


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def test_who_follows_loses_no_line_of_a_log_that_is_much_longer_than_its_bound(dash_pod: DetachedPod) -> None:
    """The pruner is never more than two chunks ahead: as slow as a storage is, however busy this machine is."""
    dash_pod.pruner(f"{blob_lines(1000)} > {dash_pod.folder}/chunk\n"
                    f"for n in $(seq 20); do cat {dash_pod.folder}/chunk; "
                    f"while [ ! -e {dash_pod.folder}/seen-$n ]; do sleep 0.02; done; done >&2")  # fmt: skip
    started(dash_pod)
    log, chunk = DeleteLog(), 1
    while not log.over:
        dash_pod.look(log, 0.1)
        if log.blobs > (chunk - 1) * 1000:
            (dash_pod.folder / f"seen-{chunk}").touch()
            chunk += 1
    assert (log.blobs, log.lost, log.position().lines) == (20_000, False, 20_000)


def test_who_follows_does_not_run_after_every_line_of_a_log_that_is_being_written(pod: DetachedPod) -> None:
    """A look that did read the log without a pause, some 500 processes a second, slowed the delete down by a third."""
    pod.pruner(
        f"{blob_lines(1)} > {pod.folder}/chunk\nwhile [ ! -e {pod.folder}/go ]; do cat {pod.folder}/chunk; done >&2"
    )
    started(pod)
    position = DeleteLog().position()
    look = look_command(pod.name, segment=position.segment, offset=position.offset, seconds=1.0, pause=0.2)
    _, out, _ = pod.run(look)
    (pod.folder / "go").touch()
    read = [line.split() for line in out.splitlines() if line.startswith("log ")]
    partial = [words for words in read if len(words[3]) < 196608 // 3 * 4]
    assert 0 < len(partial) <= 5 + len({segment for _, segment, *_ in read})


def test_another_reader_goes_on_where_the_first_stopped(pod: DetachedPod) -> None:
    pod.pruner(f"{blob_lines(10)} >&2\nprintf 'half a line' >&2\nwhile [ ! -e {pod.folder}/go ]; do sleep 0.02; done\n"
               f"echo ' and its end' >&2; {blob_lines(10, 10)} >&2\n{SUMMARY}")  # fmt: skip
    started(pod)
    first = DeleteLog()
    wait_for(lambda: pod.looked(first).blobs == 10)
    (pod.folder / "go").touch()
    lines: list[Line] = []
    second = DeleteLog(type(first.position()).from_json(first.position().to_json()), lines.append)
    pod.follow(second)
    assert (second.blobs, second.lost) == (20, False)
    assert [line.subject for line in lines if line.kind is LineKind.UNKNOWN] == ["half a line and its end"]
    assert len(lines) == 11


ODD_OUTPUT = {
    "nothing": (":", 0, 0),
    "nothing on stdout": (ONE_BLOB, 1, 1),
    "stdout alone": (SUMMARY, 0, 0),
    "no line end at the end": (f"{ONE_BLOB}; printf 'the end' >&2", 1, 2),
    "NULs and bytes that are no text": ("printf '\\000\\377\\303\\n' >&2", 0, 1),
    "section marks of nl": (f"printf '\\\\:\\\\:\\\\:\\n\\\\:\\\\:\\n\\\\:\\n' >&2; {ONE_BLOB}", 1, 4),
    "a line of 1 MiB": (f"head -c 1048576 /dev/zero | tr '\\0' x >&2; echo >&2; {ONE_BLOB}", 1, 2),
    "1 MiB without a line end": (f"{ONE_BLOB}; head -c 1048576 /dev/zero | tr '\\0' x >&2", 1, 2),
    "1 MiB on stdout": (f"head -c 1048576 /dev/zero | tr '\\0' x; {ONE_BLOB}", 1, 1),
}


@pytest.mark.parametrize("output", ODD_OUTPUT)
def test_odd_output_is_followed_to_its_end_and_counted(pod: DetachedPod, output: str) -> None:
    script, blobs, lines = ODD_OUTPUT[output]
    pod.pruner(script)
    started(pod)
    log = DeleteLog()
    pod.follow(log)
    assert (log.state, log.exit_status, log.blobs) == (DeleteState.ENDED, 0, blobs)
    if not log.lost:
        assert log.position().lines == lines
    result = log.result(ended_how="", seconds=1, pod="pod")
    assert result.said is None or output == "stdout alone"
    assert size_of(pod.attempt) <= LOG_BYTES


def test_a_look_shows_what_comes_while_it_looks_and_says_that_the_attempt_lives(pod: DetachedPod) -> None:
    pod.pruner(f"while [ ! -e {pod.folder}/go ]; do sleep 0.02; done; {ONE_BLOB}; {UNTIL_TOLD}")
    started(pod)
    look = pod.popen(look_command(pod.name, segment=1_000_000, offset=0, seconds=60))
    assert look.stdout is not None
    assert look.stdout.readline() == "running\n"
    (pod.folder / "go").touch()
    words = [look.stdout.readline().split()[0]]
    while words[-1] == "running":
        words.append(look.stdout.readline().split()[0])
    assert words[-1] == "log"
    assert look.stdout.readline() == "running\n"
    look.kill()
    look.communicate()


def test_a_look_on_a_slow_node_ends_by_the_clock(dash_pod: DetachedPod) -> None:
    """Guards the time: rounds that take longer than they should would make the look overrun its limit."""
    dash_pod.pruner(UNTIL_TOLD)
    started(dash_pod)
    begun = time.monotonic()
    status, out, _ = dash_pod.run(
        look_command(dash_pod.name, segment=FIRST_SEGMENT, offset=0, seconds=2.0, pause=0.00001)
    )
    assert (status, set(out.splitlines())) == (0, {"running"})
    assert time.monotonic() - begun < 100, "two hundred thousand rounds take longer"


def test_two_looks_at_once_do_not_take_each_other_for_the_pruner(pod: DetachedPod) -> None:
    (pod.shared_memory / pod.name).mkdir()
    looks = [pod.popen(look_command(pod.name, segment=1_000_000, offset=0, seconds=3)) for _ in range(3)]
    assert {look.communicate(timeout=300)[0] for look in looks} == {"gone .\n"}


def test_a_look_that_was_cut_in_a_line_loses_and_doubles_nothing(pod: DetachedPod) -> None:
    pod.pruner(f"{blob_lines(50)} >&2; {SUMMARY}")
    started(pod)
    pod.follow(DeleteLog())
    _, out, _ = pod.run(look_command(pod.name, segment=1_000_000, offset=0, seconds=1))
    for cut in range(0, len(out), max(len(out) // 23, 1)):
        log = DeleteLog()
        for line in out[:cut].splitlines():
            log.feed(Stream.STDOUT, line)
        pod.look(log)
        assert (log.blobs, log.exit_status, log.lost, log.position().lines) == (50, 0, False, 50)


@pytest.mark.parametrize(
    "line",
    ["ended 1", "ended ", "gone", "log 1000000 2", "log", "log x y z", "log 1000000 \u00b2 z", "out", "", "nonsense ."],
)
def test_half_a_line_of_a_look_says_nothing(line: str) -> None:
    """Guards the point at an end's end: "ended 1" may be the beginning of "ended 137 ."."""
    log = DeleteLog()
    log.feed(Stream.STDOUT, line)
    log.feed(Stream.STDERR, "ended 0 .")
    assert not log.over
    assert log.position() == DeleteLog().position()


def test_the_scripts_are_posix() -> None:
    """dash takes nothing but what POSIX has; all scripts are at least read by it."""
    for script in (start_command("n", "h", 1)[4], *start_command("n", "h", 1)[-2:], end_command(EVERY_PRUNER, 1)[2],
                   look_command("n", segment=1, offset=0, seconds=1)[2]):  # fmt: skip
        subprocess.run(["dash", "-n", "-c", script], check=True, capture_output=True)
