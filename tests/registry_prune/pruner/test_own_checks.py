"""A check whose connection is cut: nothing of it is left behind in its pod, and it can be done again."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.pod_exec import run_in_pod
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.pruner.checks import end_leftovers
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.pruner.own_checks import CheckKind, end_checks, named_command, own_checks
from include.registry_prune.pruner.processes import living_pruners
from include.registry_prune.run.base import CandidateList
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.before_window import IntegrityBefore, Survey
from include.registry_prune.tasks.in_window import DryRun
from include.registry_prune.window.closing import ClosingLimits
from include.registry_prune.window.lease import Holder
from include.registry_prune.window.opening import arm, open_window
from include.registry_prune.window.window_end import WindowEnd
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.deletion.detached_pod import wait_for

HOLDER = "dag/run"
WINDOW = Holder(run=HOLDER, token="run-1")
CHECK = "-prune=check"
ENDING = "registry-prune ends a check of this run"
LIMITS = ClosingLimits(settle_seconds=60, stop_seconds=1, reopen_anyway_seconds=3600)


@pytest.fixture
def run(seeded: Sandbox, cluster: Cluster) -> Any:
    grant_role(cluster)
    return SimpleNamespace(
        cluster=cluster,
        dag_id="dag",
        run_id="run",
        name=HOLDER,
        identity=HOLDER,
        window=WINDOW,
        hand_over=lambda result, key="": None,
        result=lambda *_: None,
        of_window=lambda *_: Settled(read_only=True, seconds=1.0, pods=2),
        window_end=WindowEnd(datetime.now(UTC) + timedelta(days=1)),
        lease_keeper=nullcontext,
        parameters=SimpleNamespace(surveys=True, integrity_check=True),
    )


@pytest.fixture
def window(run: Any, cluster: Cluster) -> None:
    arm(
        cluster,
        holder=WINDOW,
        run_url="",
        lasts=timedelta(hours=1),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=True,
        limits=LIMITS,
    )
    open_window(cluster, holder=WINDOW, limit_seconds=300)


def settings(folder: Path) -> ClusterSettings:
    return ClusterSettings(artifacts=folder.as_uri())


def begin_slowly_and_cut(sandbox: Sandbox, *, ending_fails: bool) -> None:
    """The next check's connection is cut while it is at work; and perhaps its end cannot be brought about then."""
    sandbox.order_pruner(PrunerFaults(modes=("check",), seconds_before_start=30.0))
    sandbox.order_exec(ExecFault("abort", after_seconds=1.0, command=CHECK))
    if ending_fails:
        sandbox.order_exec(ExecFault("refuse", command=ENDING, times=None))


def cut(sandbox: Sandbox, task: CandidateList, run: Any, *, ending_fails: bool) -> None:
    begin_slowly_and_cut(sandbox, ending_fails=ending_fails)
    with pytest.raises(AirflowException, match="is unknown") as error:
        task.work(run)
    assert not isinstance(error.value, AirflowFailException), "it is tried again"
    sandbox.clear_faults()


def assert_second_try_succeeds_alone(sandbox: Sandbox, task: CandidateList, run: Any) -> None:
    result = task.work(run)
    assert isinstance(result, PrunerResult)
    assert (result.complete, result.counted_blobs) == (True, ORPHANS)
    assert sandbox.most_pruners_at_once() == 1
    assert sandbox.pruners_alive() == 0


@pytest.mark.parametrize("task_kind", [Survey, DryRun])
@pytest.mark.parametrize("left_behind", [0, 1])
def test_a_check_whose_connection_is_cut_is_ended_by_this_try_or_the_next(
    seeded: Sandbox, run: Any, tmp_path: Path, request: pytest.FixtureRequest, task_kind: Any, left_behind: int
) -> None:
    """Guards both looks for an own leftover: without the first, the last try leaves one that a later run takes for
    somebody else's; without the second, the window closes for nothing, or two checks are at work."""
    if task_kind is DryRun:
        request.getfixturevalue("window")
    task = task_kind(task_id="task", cluster=settings(tmp_path))
    cut(seeded, task, run, ending_fails=bool(left_behind))
    assert seeded.pruners_alive() == left_behind
    assert len(living_pruners(run.cluster, run.cluster.registry_state())) == left_behind
    assert_second_try_succeeds_alone(seeded, task, run)


@pytest.mark.parametrize("task_kind", [Survey, DryRun])
def test_a_dry_run_that_takes_longer_than_it_may_is_not_done_again(
    seeded: Sandbox, run: Any, tmp_path: Path, request: pytest.FixtureRequest, task_kind: Any
) -> None:
    """Guards the read-only time: each further try would take as long, for nothing."""
    if task_kind is DryRun:
        request.getfixturevalue("window")
    seeded.order_pruner(PrunerFaults(modes=("check",), seconds_before_start=60.0))
    limited = ClusterSettings(artifacts=tmp_path.as_uri(), dry_run_limit="1s")
    with pytest.raises(AirflowFailException, match=r"no end after 1 s.*It is not done again"):
        task_kind(task_id="task", cluster=limited).work(run)
    assert seeded.pruners_alive() == 0


def test_a_list_that_cannot_be_written_leaves_no_check_behind(
    seeded: Sandbox, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("add", "add_blobs"):
        monkeypatch.setattr(f"include.registry_prune.lists.candidate_list.ListWriter.{name}", full)
    seeded.order_pruner(PrunerFaults(modes=("check",), seconds_per_blob=1.0))
    with pytest.raises(OSError, match="No space left"):
        Survey(task_id="survey", cluster=settings(tmp_path)).work(run)
    assert seeded.pruners_alive() == 0


def test_a_check_of_another_run_or_another_kind_is_left_alone(
    seeded: Sandbox, run: Any, cluster: Cluster, tmp_path: Path
) -> None:
    """Guards the identity: a dry run beside the integrity check of the same run, and what somebody else does."""
    cut(seeded, Survey(task_id="survey", cluster=settings(tmp_path)), run, ending_fails=True)
    state = cluster.registry_state()
    end_leftovers(cluster, state, holder="dag/run2", kind=CheckKind.DRY_RUN)
    end_leftovers(cluster, state, holder=HOLDER, kind=CheckKind.INTEGRITY)
    assert seeded.pruners_alive() == 1
    end_leftovers(cluster, state, holder=HOLDER, kind=CheckKind.DRY_RUN)
    assert seeded.pruners_alive() == 0


def test_beside_a_check_of_somebody_else_no_dry_run_is_done_in_the_window(
    seeded: Sandbox, run: Any, window: None, cluster: Cluster, tmp_path: Path
) -> None:
    run.identity = "dag/somebody else"
    cut(seeded, DryRun(task_id="dry_run", cluster=settings(tmp_path)), run, ending_fails=True)
    run.identity = HOLDER
    with pytest.raises(AirflowFailException, match="A pruner is at work already"):
        DryRun(task_id="dry_run", cluster=settings(tmp_path)).work(run)
    assert seeded.pruners_alive() == 1


def test_an_integrity_check_whose_connection_is_cut_is_ended_and_done_again(
    seeded: Sandbox, run: Any, tmp_path: Path
) -> None:
    task = IntegrityBefore(task_id="integrity_before", cluster=settings(tmp_path))
    seeded.order_exec(ExecFault("abort", command="check-database"))
    with pytest.raises(AirflowException, match="did not come to its end"):
        task.work(run)
    check = task.work(run)
    assert isinstance(check, IntegrityCheck)
    assert check.exit_status == 0


def test_an_integrity_check_that_was_left_behind_is_ended(
    seeded: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that works on, as on large storage."""
    name = own_checks(HOLDER, CheckKind.INTEGRITY)
    pods = [pod.name for pod in cluster.registry_state().pods]
    count = ("/bin/sh", "-c", f"c=0; for p in /proc/[0-9]*; do case $({{ tr '\\0' ' ' < $p/environ; }} 2>/dev/null) in "
             f"*{name}*) c=$((c+1));; esac; done; echo $c")  # fmt: skip

    def alive() -> int:
        said: list[str] = []
        run_in_pod(cluster, pods[0], count, lambda _, line: said.append(line))
        return int(said[0])

    seeded.order_exec(ExecFault("close", command="sleep 60"))
    run_in_pod(cluster, pods[0], named_command(f"{name}1", ("/bin/sh", "-c", "sleep 60; true")))
    wait_for(lambda: alive() > 0)
    end_checks(cluster, pods, name)
    assert alive() == 0
