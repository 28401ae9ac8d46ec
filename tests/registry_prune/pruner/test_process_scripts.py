"""The script that finds and ends processes in a pod, run by the real shells: whom it means, whom it leaves alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from include.registry_prune.pruner.dockerregistry import CLOSING_MARKER, EXECUTABLE
from include.registry_prune.pruner.own_checks import named_command
from include.registry_prune.pruner.process_scripts import (
    EVERY_PRUNER,
    FIND_COMMAND,
    Processes,
    checks_named,
    pruner_of_attempt,
)
from tests.registry_prune.deletion.detached_pod import SHELLS, UNTIL_TOLD, DetachedPod, wait_for

DEAF = "trap '' TERM; while :; do sleep 0.05; done"


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.name)
def pod(request: pytest.FixtureRequest) -> Iterator[DetachedPod]:
    with DetachedPod(request.param) as made:
        made.pruner(UNTIL_TOLD)
        yield made


def begun(pod: DetachedPod, command: tuple[str, ...]) -> subprocess.Popen[str]:
    before = pod.starts()
    process = pod.popen(command)
    wait_for(lambda: pod.starts() == before + 1)
    return process


def end(pod: DetachedPod, which: Processes = EVERY_PRUNER, stop_seconds: float = 5) -> list[str]:
    status, out, err = pod.run(pod.end_command(stop_seconds, which))
    assert (status, err) == (0, "")
    return out.splitlines()


@pytest.mark.parametrize(
    "words", [("-prune=delete",), ("--prune=delete",), ("-prune", "delete"), ("--prune", "check")], ids=" ".join
)
def test_every_spelling_of_a_pruner_is_found_and_ended(pod: DetachedPod, words: tuple[str, ...]) -> None:
    """Guards the look before a delete: Go's flags take one dash or two, and their value as a word of its own."""
    pruner = begun(pod, (EXECUTABLE, *words))
    found = pod.run(pod.only_here(FIND_COMMAND))[1].splitlines()
    assert [line.split(" ", 1)[0] for line in found] == [str(pruner.pid)]
    assert " ".join(words) in found[0]
    assert [line.split()[0] for line in end(pod)] == ["SIGTERM"]
    assert pruner.wait(10) == 143
    assert (pod.shared_memory / CLOSING_MARKER).exists()


@pytest.mark.parametrize("words", [("-restore-mode=check-database",), ("/etc/prune.yml",), ("-pruned", "x"), ()])
def test_what_is_no_pruner_is_left_alone(pod: DetachedPod, words: tuple[str, ...]) -> None:
    registry = begun(pod, (EXECUTABLE, *words))
    assert pod.run(pod.only_here(FIND_COMMAND))[1] == ""
    assert end(pod) == []
    assert registry.poll() is None
    registry.kill()
    registry.wait(10)


def test_a_pruner_that_does_not_listen_is_killed(pod: DetachedPod) -> None:
    pod.pruner(DEAF)
    pruner = begun(pod, (EXECUTABLE, "-prune=delete"))
    assert [line.split()[0] for line in end(pod, stop_seconds=0.5)] == ["SIGTERM", "SIGKILL"]
    assert pruner.wait(10) == -9


def test_of_two_deletes_the_named_one_is_ended_alone_and_given_up_alone(pod: DetachedPod) -> None:
    """Guards the delete of today from whoever followed the one of yesterday."""
    yesterday = pod.name
    assert pod.start()[1] == "started\n"
    wait_for(lambda: pod.starts() == 1)
    old_folder = pod.attempt
    pod.name = f"{yesterday}0"
    assert pod.start()[1] == "started\n"
    wait_for(lambda: pod.starts() == 2)
    assert end(pod, pruner_of_attempt(yesterday))
    assert (old_folder / "given-up").exists()
    wait_for((old_folder / "ended").exists)
    assert (old_folder / "ended").read_text().strip() == "143"
    assert pod.processes(), "the delete of today goes on"
    assert not (pod.attempt / "given-up").exists()
    assert not (pod.shared_memory / CLOSING_MARKER).exists(), "and others may begin"
    pod.remove_processes()


def test_checks_are_killed_by_the_beginning_of_their_name(pod: DetachedPod) -> None:
    pod.pruner(DEAF)
    own = begun(pod, named_command(f"{pod.name}-dry-run-1", (EXECUTABLE, "-prune=check")))
    other = begun(pod, named_command(f"{pod.name}-integrity-1", (EXECUTABLE, "-restore-mode=check-database")))
    assert {line.split()[0] for line in end(pod, checks_named(f"{pod.name}-dry-run-"), 0)} == {"SIGKILL"}
    assert own.wait(10) == -9
    assert other.poll() is None
    end(pod, checks_named(f"{pod.name}-"), 0)
    assert other.wait(10) == -9
