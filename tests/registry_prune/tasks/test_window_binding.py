"""What a run knows is bound to its window: whatever records Airflow holds and whatever states it shows, no window is
opened and no delete begun on those of another window, run or cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.lists.artifacts import candidate_writer, read_seal
from include.registry_prune.preflight.access import AccessReview
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult, Summary
from include.registry_prune.records import Record
from include.registry_prune.run.run_context import RUN_TOKEN, Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.after_window import RestoreReadWrite
from include.registry_prune.tasks.gates import HELD, BlobThreshold, Held
from include.registry_prune.tasks.hard_prune import HardPrune
from include.registry_prune.tasks.in_window import MOMENT_LASTS, ArmWindow
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.references import ReferenceAudit, StreamAudit
from include.registry_prune.window.lease import ANNOTATION, CLOSED_ANNOTATION, Lease, LeaseError

OURS, OTHERS = "run-2", "run-1"
TOKENS = st.sampled_from([OURS, OTHERS, ""])
SETTINGS = ClusterSettings()


class PlayedContext(dict[str, Any]):
    """A task's context: what the tasks before it handed over, whatever their states are.

    :param results: by task; what it handed over under a key of its own, by ``task.key``.
    """

    def __init__(self, task_id: str, results: dict[str, Record | None]) -> None:
        self.task_id = task_id
        self.results = {each: record.to_json() for each, record in results.items() if record is not None}
        super().__init__(dag_run=SimpleNamespace(dag_id="dag", conf={}, run_type="manual"), run_id="run", ti=self)

    def xcom_pull(self, *, task_ids: str, key: str = "return_value", **_: Any) -> Any:
        return (
            "run" if key == RUN_TOKEN else self.results.get(task_ids if key == "return_value" else f"{task_ids}.{key}")
        )

    def xcom_push(self, key: str, value: Any) -> None:
        pass


class BegunError(Exception):
    """The step went on to change the cluster."""


def raise_begun(*_: Any, **__: Any) -> None:
    raise BegunError


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two finished lists of candidates."""
    folder = tmp_path_factory.mktemp("lists")
    paths = []
    for name in ("judged", "another"):
        path = Path(folder, f"{name}.txt.gz")
        with candidate_writer(path, {"run": name}) as writer:  # type: ignore[arg-type]
            writer.add(LineKind.BLOB, "sha256:" + "ab" * 32)
        paths.append(str(path))
    return paths


def keep_lease(run: Run) -> None:
    """It needs the cluster, as the real one."""
    assert run.cluster
    raise BegunError


def carried_out(task: Any, results: dict[str, Record | None], cluster_id: str = "") -> bool:
    """Whether the step went on to change the cluster; else it has to fail, and for good if that is of no use.

    :param cluster_id: of the cluster that the connection points to by now.
    """
    cluster: Any = SimpleNamespace(server="s", cluster_id=lambda: cluster_id)

    def connected(run: Run) -> Any:
        run._require_same_cluster(cluster)
        return cluster

    with patch.object(Run, "cluster", property(connected)), patch.object(Run, "lease_keeper", keep_lease):
        try:
            task.execute(PlayedContext(task.task_id, results))
        except BegunError:
            return True
        except AirflowFailException:
            return False
        except AirflowException as error:
            if "points to another cluster" not in str(error):
                raise
            # Not for good: the connection may be pointed back.
            return False
    raise AssertionError("it neither began nor failed")


def approval(window: str, *, approved: bool = True) -> Approval:
    return Approval(asked=True, approved=approved, by="ada", window=window)


def verdict(window: str, action: Action = Action.PRUNE, **more: Any) -> Verdict:
    return Verdict(action=action, reasons=("because",), window=window, given_at=datetime.now(UTC), **more)


def dry_run(window: str, artifact: str, exit_status: int | None = 0) -> PrunerResult:
    said = Summary(blobs=1, rounded_bytes=1)
    return PrunerResult(
        mode="check", said=said, counted_blobs=1, exit_status=exit_status, artifact=artifact, window=window
    )


def lease(token: str, **changes: Any) -> Lease:
    return Lease(
        holder="dag/run",
        token=token,
        armed_at=datetime.now(UTC),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        **changes,
    )


def armed(token: str) -> Lease:
    return lease(token, must_end_by=datetime.now(UTC) + timedelta(hours=4))


def settled(window: str) -> Settled:
    return Settled(read_only=True, seconds=40.0, pods=2, window=window)


@given(data=st.data())
def test_no_delete_begins_but_on_a_dry_run_and_a_verdict_of_its_own_window_on_its_own_cluster(
    lists: list[str], data: st.DataObject
) -> None:
    """Guards each of the looks at the window, and the one at the cluster. A task that is cleared or marked leaves its
    neighbours' records as they were."""
    windows = {
        task: data.draw(TOKENS, label=task) for task in ("arm_window", "set_read_only", "dry_run", "blob_threshold")
    }
    action = data.draw(st.sampled_from(Action))
    judged, kept = (data.draw(st.sampled_from(lists), label=label) for label in ("judged", "kept"))
    exit_status = data.draw(st.sampled_from([0, 1, None]))
    began_on, now_on = (
        data.draw(st.sampled_from(["cluster-1", "cluster-2"]), label=label) for label in ("began", "now")
    )
    missing = data.draw(st.sets(st.sampled_from(["approve_window", *windows]), max_size=1))
    results: dict[str, Record | None] = {
        "verify_access": AccessReview(user="u", server="s", cluster_id=began_on),
        "approve_window": approval(OURS),
        "arm_window": armed(windows["arm_window"]),
        "set_read_only": settled(windows["set_read_only"]),
        "dry_run": dry_run(windows["dry_run"], kept, exit_status),
        "blob_threshold": verdict(windows["blob_threshold"], action, judged=read_seal(judged).sha256),
    }
    results |= dict.fromkeys(missing)
    in_order = (
        not missing
        and set(windows.values()) == {OURS}
        and action is Action.PRUNE
        and read_seal(judged) == read_seal(kept)
        and exit_status == 0
        and began_on == now_on
    )
    logging.disable(logging.CRITICAL)
    try:
        begun = carried_out(HardPrune(task_id="hard_prune", cluster=SETTINGS), results, now_on)
    finally:
        logging.disable(logging.NOTSET)
    assert begun is in_order


NOT_BEGUN: dict[str, Callable[[str, str], dict[str, Record | None]]] = {
    "no approval": lambda judged, another: {"approve_window": None},
    "armed for an earlier window": lambda judged, another: {"arm_window": armed(OTHERS)},
    "not armed": lambda judged, another: {"arm_window": None},
    "read-only in an earlier window": lambda judged, another: {"set_read_only": settled(OTHERS)},
    "not read-only": lambda judged, another: {"set_read_only": None},
    "dry run of an earlier window": lambda judged, another: {"dry_run": dry_run(OTHERS, judged)},
    "no dry run": lambda judged, another: {"dry_run": None},
    "dry run that failed": lambda judged, another: {"dry_run": dry_run(OURS, judged, 1)},
    "another list was judged": lambda judged, another: {"dry_run": dry_run(OURS, another)},
    "verdict of an earlier window": lambda judged, another: {"blob_threshold": judgement(judged, OTHERS)},
    "no verdict": lambda judged, another: {"blob_threshold": None},
    "verdict skip": lambda judged, another: {"blob_threshold": judgement(judged, action=Action.SKIP)},
    "verdict stop": lambda judged, another: {"blob_threshold": judgement(judged, action=Action.STOP)},
    "another cluster": lambda judged, another: {
        "verify_access": AccessReview(user="u", server="s", cluster_id="cluster-2")
    },
}
"""One for each look: what is found instead of what is in order."""


def judgement(judged: str, window: str = OURS, action: Action = Action.PRUNE) -> Verdict:
    return verdict(window, action, judged=read_seal(judged).sha256)


@pytest.mark.parametrize("changed", NOT_BEGUN.values(), ids=NOT_BEGUN.keys())
def test_one_thing_out_of_order_is_enough_for_no_delete(
    lists: list[str], changed: Callable[[str, str], dict[str, Record | None]]
) -> None:
    """Guards each look by itself: of what the property draws, most is out of order in several ways at once."""
    judged, another = lists
    in_order: dict[str, Record | None] = {
        "verify_access": AccessReview(user="u", server="s", cluster_id="cluster-1"),
        "approve_window": approval(OURS),
        "arm_window": armed(OURS),
        "set_read_only": settled(OURS),
        "dry_run": dry_run(OURS, judged),
        "blob_threshold": judgement(judged),
    }
    task = HardPrune(task_id="hard_prune", cluster=SETTINGS)
    assert carried_out(task, in_order, "cluster-1")
    assert not carried_out(task, in_order | changed(judged, another), "cluster-1")


def judged_on(lists: list[str], *, list_of: str = OURS, held_of: str = OURS) -> Held | None:
    """What the gate of the delete takes for known of its list; None: it looks for itself."""
    images, streams = ReferenceAudit(candidates=1, images=1), StreamAudit(repositories=0)
    held = Held(images=images, streams=streams, window=held_of)
    results: dict[str, Record | None] = {
        "approve_window": approval(OURS),
        "dry_run": dry_run(list_of, lists[0]),
        f"dry_run.{HELD}": held,
    }
    looks: list[Held | None] = []

    def evidence(gate: BlobThreshold, *_: object, held: Held | None) -> None:
        looks.append(held)
        raise BegunError

    gate = BlobThreshold(task_id="blob_threshold", cluster=SETTINGS)
    context: Any = PlayedContext("blob_threshold", results)
    with (
        patch.object(BlobThreshold, "evidence", evidence),
        patch.object(Run, "lease_keeper", lambda run: nullcontext()),
        pytest.raises(BegunError),
    ):
        gate.poke(context)
    [look] = looks
    return look


def test_the_gate_of_the_delete_judges_no_list_of_an_earlier_window(lists: list[str]) -> None:
    """Guards a gate that is cleared alone: the list may be days old."""
    with pytest.raises(AirflowFailException, match="dry_run has handed over only what it found for an earlier window"):
        judged_on(lists, list_of=OTHERS)


def test_the_gate_of_the_delete_takes_no_earlier_look_at_the_images_for_one_of_its_window(lists: list[str]) -> None:
    """Guards the Images of now: a dry run that scans anew leaves what an earlier one handed over where it was."""
    held = judged_on(lists)
    assert held is not None
    assert held.window == OURS
    assert judged_on(lists, held_of=OTHERS) is None


NOT_ARMED: dict[str, dict[str, Record | None]] = {
    "approve_window marked success": {"approve_window": None},
    "rejected": {"approve_window": approval(OURS, approved=False)},
    "right_moment marked success": {"right_moment": None},
    "right_moment of an earlier window": {"right_moment": verdict(OTHERS)},
    "right_moment says stop": {"right_moment": verdict(OURS, Action.STOP)},
    "right_moment says skip": {"right_moment": verdict(OURS, Action.SKIP)},
    "right_moment looked long ago": {
        "right_moment": verdict(OURS).model_copy(
            update={"given_at": datetime.now(UTC) - MOMENT_LASTS - timedelta(minutes=1)}
        )
    },
}


@pytest.mark.parametrize("changed", NOT_ARMED.values(), ids=NOT_ARMED.keys())
def test_no_window_is_armed_but_on_an_approval_and_a_look_of_its_own(changed: dict[str, Record | None]) -> None:
    in_order: dict[str, Record | None] = {"approve_window": approval(OURS), "right_moment": verdict(OURS)}
    task = ArmWindow(task_id="arm_window", cluster=SETTINGS)
    with patch("include.registry_prune.window.opening.arm", raise_begun):
        assert carried_out(task, in_order)
        assert not carried_out(task, in_order | changed)


def opens_around(moment: datetime) -> ClusterSettings:
    """Settings with opening hours of two hours around a moment."""
    hour = timedelta(hours=1)
    return ClusterSettings(opening_hours=f"{moment - hour:%H:%M}-{moment + hour:%H:%M}", time_zone="UTC")


def test_no_window_is_armed_outside_the_opening_hours() -> None:
    """Guards the last look at the hours: right_moment looked before this, and they may have ended since."""
    in_order: dict[str, Record | None] = {"approve_window": approval(OURS), "right_moment": verdict(OURS)}
    now = datetime.now(UTC)
    with patch("include.registry_prune.window.opening.arm", raise_begun):
        assert carried_out(ArmWindow(task_id="arm_window", cluster=opens_around(now)), in_order)
        closed = ArmWindow(task_id="arm_window", cluster=opens_around(now + timedelta(hours=12)))
        assert not carried_out(closed, in_order)


def open_window_of(armed: Lease | None, annotations: dict[str, str]) -> Any:
    """Which window restore_read_write closes."""
    config = {"metadata": {"annotations": annotations, "resourceVersion": "1"}, "spec": {}}
    cluster = SimpleNamespace(config=lambda: config)
    reclaimed: list[Any] = []
    context: Any = PlayedContext("restore_read_write", {"arm_window": armed})
    run = Run(context, SETTINGS)
    with (
        patch.object(Run, "cluster", cluster),
        patch("include.registry_prune.window.lost_lease.reclaim_window", lambda *_, **rest: reclaimed.append(rest)),
    ):
        holder = RestoreReadWrite(task_id="restore_read_write", cluster=SETTINGS)._open_window(run)
    return (holder.token if holder else None), bool(reclaimed)


def test_a_restore_closes_a_window_of_its_run_be_it_of_an_earlier_time() -> None:
    held = {ANNOTATION: lease(OTHERS).to_annotation()}
    assert open_window_of(lease(OURS), held) == (OTHERS, False)
    assert open_window_of(None, held) == (OTHERS, False)


def test_a_restore_that_finds_nothing_is_content_only_where_nothing_was_armed_or_all_is_closed() -> None:
    """Guards the registry that stays read-only behind a green run: a lease that is gone is no good news."""
    assert open_window_of(None, {}) == (None, False)
    assert open_window_of(lease(OURS), {CLOSED_ANNOTATION: f"more {OURS}"}) == (None, False)
    assert open_window_of(lease(OURS), {}) == (OURS, True)


def test_a_restore_never_closes_the_window_of_another_run() -> None:
    held = {ANNOTATION: lease("another-1").to_annotation()}
    assert open_window_of(None, held) == (None, False)
    with pytest.raises(Exception, match="somebody removed the first while its window was open"):
        open_window_of(lease(OURS), held)


@pytest.mark.parametrize("now", ["", "cluster-2"])
def test_a_connection_that_points_elsewhere_by_now_changes_nothing_there(now: str) -> None:
    """Guards the look at the cluster's id, before anything a task does."""
    began = AccessReview(user="u", server="https://first:6443", cluster_id="cluster-1")
    run = Run(PlayedContext("restore_read_write", {"verify_access": began}), SETTINGS)  # type: ignore[arg-type]
    elsewhere: Any = SimpleNamespace(server="https://second:6443", cluster_id=lambda: now)
    with pytest.raises(ClusterError, match=r"points to another cluster .* https://first:6443 .* https://second:6443"):
        run._require_same_cluster(elsewhere)
    same: Any = SimpleNamespace(server="https://first:6443", cluster_id=lambda: "cluster-1")
    run._require_same_cluster(same)


def test_while_the_first_task_works_again_the_armed_window_says_which_cluster_it_is() -> None:
    """Guards the registry of the first cluster: cleared, verify_access has handed nothing over."""
    armed = lease(OURS).model_copy(update={"cluster_id": "cluster-1"})
    run = Run(PlayedContext("restore_read_write", {"arm_window": armed}), SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match=r"cluster id cluster-1\), now https://second:6443"):
        run._require_same_cluster(cast("Any", SimpleNamespace(server="https://second:6443", cluster_id=lambda: "2")))
    run._require_same_cluster(cast("Any", SimpleNamespace(server="s", cluster_id=lambda: "cluster-1")))


def test_a_run_stays_on_the_cluster_that_it_began_on_also_where_its_first_task_is_cleared() -> None:
    """Guards all that the run does afterwards: what verify_access hands over the second time would be of another."""

    class Kept(dict[str, str]):
        def set(self, key: str, value: str, **_: Any) -> None:
            self[key] = value

    context = PlayedContext("verify_access", {})
    context["task_state_store"] = Kept()
    first, second = (AccessReview(user="u", server=f"s{each}", cluster_id=each) for each in ("1", "2"))
    Run(context, SETTINGS).stay_on(first)  # type: ignore[arg-type]
    Run(context, SETTINGS).stay_on(first)  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match=r"cluster id 1\), now s2"):
        Run(context, SETTINGS).stay_on(second)  # type: ignore[arg-type]


def test_a_restore_that_meets_another_cluster_is_tried_again_and_every_try_is_told() -> None:
    """The connection may be pointed back: a refusal ends no restore."""

    def refuse(run: Run) -> None:
        raise ClusterError("points to another cluster", 409)

    task = RestoreReadWrite(task_id="restore_read_write", cluster=SETTINGS)
    context: Any = PlayedContext("restore_read_write", {})
    with pytest.raises(AirflowException) as error:
        task.carry_out(context, refuse)
    assert not isinstance(error.value, AirflowFailException)


def test_a_restore_whose_lease_was_written_over_looks_whether_the_window_is_still_its_own() -> None:
    """Guards the run against whoever may annotate the Config: an unreadable lease does not keep a window open."""
    assert open_window_of(lease(OURS), {ANNOTATION: "garbage"}) == (OURS, True)
    with pytest.raises(LeaseError, match="is no lease"):
        open_window_of(None, {ANNOTATION: "garbage"})
