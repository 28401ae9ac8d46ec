"""A dry run as a stream from a pod: whatever the pruner prints, and whatever becomes of the connection."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.cluster import pod_exec
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.lists.artifacts import candidate_digests, read_candidates, read_seal
from include.registry_prune.lists.candidate_list import DamagedListError
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult
from include.registry_prune.pruner.output import KEPT_LINES
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.before_window import Survey
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.registry.faults import PrunerFaults

CHECK = "-prune=check"
SUMMARY = "Would delete 2 blobs\nWould free up 2KiB of disk space\nUse -prune=delete to actually delete the data\n"


def line(number: int) -> str:
    fields = {
        "go.version": "go1.26.6",
        "level": "info",
        "msg": f"Would delete blob: sha256:{number:064x}",
        "time": "2026",
    }
    return json.dumps(fields, separators=(",", ":"))


LIST = f"{line(1)}\n{line(2)}\n"


class DryRun:
    """The task ``survey``, tried as often as a test wants."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.handed_over: list[PrunerResult] = []
        self._task = Survey(task_id="survey", cluster=ClusterSettings(artifacts=folder.as_uri()))
        self._run: Any = SimpleNamespace(
            cluster=cluster,
            dag_id="dag",
            run_id="run",
            identity="dag/run",
            name="dag/run",
            hand_over=self.handed_over.append,
        )

    def do(self) -> PrunerResult:
        return self._task.list_candidates(self._run)


@pytest.fixture
def dry_run(cluster: Cluster, tmp_path: Path) -> DryRun:
    return DryRun(cluster, tmp_path / "lists")


def play(sandbox: Sandbox, *, stdout: str = SUMMARY, stderr: str = LIST, exit_code: int = 0) -> None:
    sandbox.order_pruner(PrunerFaults(exit_code=exit_code, stdout=stdout, stderr=stderr))


ODD_OUTPUTS = {
    "as it should be": (SUMMARY, LIST, 2, 0),
    "no line end at the end": (SUMMARY.rstrip("\n"), LIST.rstrip("\n"), 2, 0),
    "standard output alone": (SUMMARY, "", 0, 0),
    "garbage": (SUMMARY, f"\x00\x01\x02 {{\n{LIST}}}garbage\n", 2, 2),
    "a line of a mebibyte": (SUMMARY, f"{'x' * (1 << 20)}\n{LIST}{'y' * (3 << 20)}\n", 2, 2),
    "half a character": (SUMMARY, f"{LIST}{'é€😀' * 20_000}\n" * 3, 6, 3),
    "a line that is odd among many": (SUMMARY, LIST * 500 + "odd\n" + LIST * 500, 2_000, 1),
}


@pytest.mark.parametrize(("stdout", "stderr", "blobs", "unknown"), ODD_OUTPUTS.values(), ids=ODD_OUTPUTS.keys())
def test_whatever_is_printed_every_candidate_is_counted_and_listed(
    sandbox: Sandbox, dry_run: DryRun, stdout: str, stderr: str, blobs: int, unknown: int
) -> None:
    play(sandbox, stdout=stdout, stderr=stderr)
    result = dry_run.do()
    assert (result.counted_blobs, result.unknown_line_count) == (blobs, unknown)
    assert result.said is not None
    assert result.said.blobs == 2
    assert result.artifact is not None
    assert (
        len(list(read_candidates(result.artifact, kind=LineKind.BLOB)))
        == len(candidate_digests(result.artifact))
        == blobs
    )
    assert read_seal(result.artifact).counts["blob"] == blobs


def test_standard_error_alone_is_no_dry_run(sandbox: Sandbox, dry_run: DryRun) -> None:
    """Guards the summary: exit status 0 alone is no proof that it did all of its work."""
    play(sandbox, stdout="")
    with pytest.raises(AirflowFailException, match="without the pruner's summary"):
        dry_run.do()


def test_unknown_lines_are_shown_and_never_fatal_but_bounded(
    sandbox: Sandbox, dry_run: DryRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    play(sandbox, stderr=LIST + "".join(f"noise {number}\n" for number in range(5_000)))
    result = dry_run.do()
    assert (result.counted_blobs, result.unknown_line_count, len(result.unknown_lines)) == (2, 5_000, KEPT_LINES)
    assert "noise 99" in caplog.text
    assert "noise 100" not in caplog.text


def test_the_two_streams_may_come_in_any_order(sandbox: Sandbox, dry_run: DryRun, monkeypatch: Any) -> None:
    script = """
for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
    printf '{"go.version":"go1","level":"info","msg":"Would delete blob: sha256:%064d","time":"2026"}\\n' $number >&2
    echo "Would delete $number blobs"
done
echo "Would free up 1B of disk space"
"""
    monkeypatch.setattr("include.registry_prune.pruner.checks.CHECK_COMMAND", ("/bin/sh", "-c", script))
    result = dry_run.do()
    assert (result.counted_blobs, result.said and result.said.blobs, result.unknown_line_count) == (20, 19, 0)


@pytest.mark.parametrize("effect", ["close", "abort", "freeze"])
def test_a_cut_connection_is_said_and_a_second_try_replaces_the_list(
    sandbox: Sandbox, dry_run: DryRun, monkeypatch: pytest.MonkeyPatch, effect: Any
) -> None:
    """Guards that half a list is never taken for a whole one, and that a lost connection is worth another try."""
    monkeypatch.setattr(pod_exec, "PING_SECONDS", 0.1)
    monkeypatch.setattr(pod_exec, "LOST_AFTER_SECONDS", 0.5)
    play(sandbox, stderr=LIST * 1_000)
    sandbox.order_exec(ExecFault(effect, after_bytes=100_000, command=CHECK))
    with pytest.raises(AirflowException, match=r"is unknown .*The dry run is done again") as error:
        dry_run.do()
    assert not isinstance(error.value, AirflowFailException), "it is tried again"
    (first,) = dry_run.handed_over
    assert first.exit_status is None
    assert 0 < first.counted_blobs < 2_000
    assert first.artifact is not None
    with pytest.raises(DamagedListError, match="is unfinished"):
        candidate_digests(first.artifact)
    second = dry_run.do()
    assert (second.artifact, second.counted_blobs) == (first.artifact, 2_000)
    assert len(candidate_digests(first.artifact)) == 2_000


def test_what_the_pruner_itself_reports_is_not_tried_again(sandbox: Sandbox, dry_run: DryRun) -> None:
    error = '{"level":"error","msg":"error listing images: Unauthorized","time":"2026"}\n'
    play(sandbox, stdout="Would delete 0 blobs\nWould free up 0B of disk space\n", stderr=error, exit_code=1)
    with pytest.raises(AirflowFailException, match="Unauthorized"):
        dry_run.do()
