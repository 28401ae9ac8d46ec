"""Commands in a pod, by the real client over a real WebSocket."""

from __future__ import annotations

from typing import Any

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.exec_channels import ExecEnd, Stream
from include.registry_prune.cluster.pod_exec import run_in_pod


@pytest.fixture
def pod(cluster: Cluster) -> str:
    return cluster.registry_state().ready_pods()[0].name


def run(cluster: Cluster, pod: str, script: str, **limits: Any) -> tuple[ExecEnd, list[tuple[str, str]]]:
    lines: list[tuple[str, str]] = []
    end = run_in_pod(
        cluster, pod, ("/bin/sh", "-c", script), lambda stream, line: lines.append((str(stream), line)), **limits
    )
    return end, lines


def test_both_streams_and_the_exit_status_come_apart(cluster: Cluster, pod: str) -> None:
    end, lines = run(cluster, pod, "echo out; echo err >&2; exit 3")
    assert end == ExecEnd(3, "exit status 3")
    assert sorted(lines) == [("stderr", "err"), ("stdout", "out")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'no line end'", ["no line end"]),
        ("printf 'a\\r\\nb\\n'", ["a", "b"]),
        ("printf ''", []),
        ("printf '\\303'; sleep 0.1; printf '\\244\\n'", ["ä"]),
        ("printf '\\377\\n'", ["\ufffd"]),
    ],
)
def test_lines_are_whole_however_they_come(cluster: Cluster, pod: str, script: str, expected: list[str]) -> None:
    end, lines = run(cluster, pod, script)
    assert end.exit_status == 0
    assert [line for _, line in lines] == expected


def test_a_hundred_thousand_lines_lose_none(cluster: Cluster, pod: str) -> None:
    count = {Stream.STDOUT: 0, Stream.STDERR: 0}

    def take(stream: Stream, _line: str) -> None:
        count[stream] += 1

    end = run_in_pod(cluster, pod, ("/bin/sh", "-c", "seq 100000 >&2; seq 5"), take)
    assert end.exit_status == 0
    assert count == {Stream.STDOUT: 5, Stream.STDERR: 100_000}


def test_a_killed_command_has_its_signal_in_the_exit_status(cluster: Cluster, pod: str) -> None:
    assert run(cluster, pod, "kill -9 $$")[0].exit_status == 137


def test_after_the_limit_the_end_is_unknown(cluster: Cluster, pod: str) -> None:
    end, _ = run(cluster, pod, "while :; do echo on; sleep 0.1; done", limit_seconds=1)
    assert end.exit_status is None
    assert "no end after 1 s" in end.how


def test_a_refused_exec_says_which_pod_and_why(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r'exec in pod nosuch was refused.*pods "nosuch" not found') as error:
        run(cluster, "nosuch", "true")
    assert error.value.permanent
