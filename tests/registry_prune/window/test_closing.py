"""Closing a window beside somebody else: another closer, the next run, an old process of the run itself, a person."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.cluster import registry_state
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import Opening
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.cluster.settling import NotSettledError, wait_until_settled
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.pruner import processes
from include.registry_prune.pruner.processes import PrunerLivesError, end_pruners
from include.registry_prune.window import closing as window_closing
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import change_own_lease, lease_patch, read_lease, require_own_lease
from include.registry_prune.window.lease import Holder, LeaseError, TakenOverError
from include.registry_prune.window.leftovers import leftovers
from include.registry_prune.window.opening import begin_attempt, open_window
from sandbox.cluster import Sandbox
from tests.registry_prune.window.test_opening import HOLDER, armed, close

NEXT = Holder(run="registry_prune/next", token="next-1")


@pytest.fixture
def opened(cluster: Cluster) -> Cluster:
    """A cluster with the run's window open."""
    grant_role(cluster)
    armed(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    return cluster


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, first: Callable[[], object]) -> None:
    """Before the next call of this function, and no later one, something else happens."""
    real = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, real)
        first()
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


def suspended(cluster: Cluster) -> bool:
    pruner = cluster.image_pruner()
    assert pruner is not None
    return bool(pruner["spec"].get("suspend"))


def role_is_there(cluster: Cluster) -> bool:
    return OUR_BINDING in {binding["metadata"]["name"] for binding in cluster.role_bindings()}


def open_next_window(cluster: Cluster) -> None:
    """Another closer comes to its end, and the next run opens a window of its own."""
    close(cluster)
    grant_role(cluster)
    armed(cluster, holder=NEXT)
    open_window(cluster, holder=NEXT, limit_seconds=300)


def test_a_window_that_is_being_closed_is_not_opened_any_more(cluster: Cluster) -> None:
    """Guards the look at `closing_since`: an old process of set_read_only comes late, and the closer, which has seen
    that the window was never opened, would leave the registry read-only without a lease."""
    armed(cluster)
    change_own_lease(cluster, HOLDER, lambda lease: lease.closing(datetime.now(UTC), ()))
    with pytest.raises(LeaseError, match=r"Somebody is closing the window of .*, so this run does not open it"):
        open_window(cluster, holder=HOLDER, limit_seconds=1)
    assert cluster.config()["spec"].get("readOnly", False) is False


def test_what_is_put_back_follows_from_the_lease_as_it_is_then(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed(cluster)

    def open_late() -> None:
        lease = require_own_lease(cluster.config(), HOLDER)
        cluster.patch_config(lease_patch(lease.opened(datetime.now(UTC)), readOnly=True))

    once(monkeypatch, window_closing, "end_pruners", first=open_late)
    assert close(cluster) is not None
    assert cluster.config()["spec"]["readOnly"] is False
    assert read_lease(cluster) is None


@pytest.mark.parametrize("moment", ["end_pruners", "suspend_image_pruner", "replace_pods"])
def test_a_second_closer_changes_nothing_of_the_next_runs_window(
    opened: Cluster, connect: Any, account: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Guards the lease's concurrency in closing: each step is taken only while the lease is that of the window."""
    change_own_lease(opened, HOLDER, lambda lease: lease.deleting(datetime.now(UTC)))
    others = connect(account)
    owner = opened if moment == "suspend_image_pruner" else window_closing
    once(monkeypatch, owner, moment, first=lambda: open_next_window(others))
    with suppress(NotSettledError):  # as the case may be, it waits for what the next run has changed
        close(opened)
    assert close(opened) is None
    lease = read_lease(opened)
    assert lease is not None
    assert lease.holder == NEXT.run
    assert opened.config()["spec"]["readOnly"] is True
    assert suspended(opened)
    assert role_is_there(opened)
    close(opened, holder=NEXT)


def test_a_person_who_sets_read_only_while_the_window_is_being_closed_is_not_overruled(
    sandbox: Sandbox, opened: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards `reopened_at`: without it a retry takes the person's readOnly for the window's, and sets it back."""
    set_true = lambda: sandbox.configure_registry(readOnly=True)  # noqa: E731
    once(monkeypatch, window_closing, "wait_until_settled", first=set_true)
    with pytest.raises(NotSettledError, match="Somebody has changed it meanwhile"):
        close(opened)
    with pytest.raises(TakenOverError, match=r"somebody else set spec\.readOnly to true .* oc patch configs"):
        close(opened)
    assert opened.config()["spec"]["readOnly"] is True
    assert read_lease(opened) is None
    assert not suspended(opened)
    assert not role_is_there(opened)
    assert close(opened) is None
    assert opened.config()["spec"]["readOnly"] is True


def test_where_the_cluster_does_not_answer_the_registry_is_not_reopened_anyway(
    opened: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the kind of error: no pod was deleted, so a pruner may well live."""

    def unknown(*_arguments: object, **_options: object) -> int:
        raise ClusterError("the API server cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(window_closing, "end_pruners", unknown)
        at_once = ClosingLimits(settle_seconds=60, stop_seconds=1, reopen_anyway_seconds=0)
        with pytest.raises(ClusterError, match="cannot be reached"):
            close_window(opened, holder=HOLDER, limits=at_once)
    assert opened.config()["spec"]["readOnly"] is True
    close(opened)


def test_pods_that_came_up_before_the_pruner_ended_are_replaced_too(
    opened: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writable registry beside a delete: what its pods remember may be gone by the pruner's end."""
    change_own_lease(opened, HOLDER, lambda lease: lease.deleting(datetime.now(UTC)))
    opened.patch_config({"spec": {"readOnly": False}})
    wait_until_settled(opened, read_only=False, limit_seconds=300)
    came_up: set[str] = set()

    def one_is_replaced() -> None:
        old, *_ = opened.registry_state().ready_pods()
        opened.delete_pod(old.name, uid=old.uid)
        wait_until_settled(opened, read_only=False, limit_seconds=300, without_pod=old.uid)
        came_up.update(pod.uid for pod in opened.registry_state().pods)

    once(monkeypatch, window_closing, "end_pruners", first=one_is_replaced)
    close(opened)
    assert came_up
    assert not came_up & {pod.uid for pod in opened.registry_state().pods if not pod.ended}


def test_a_window_that_was_closed_is_not_armed_again_by_a_task_that_was_cleared(cluster: Cluster) -> None:
    """Guards the memory of closed windows: it is on the cluster, and so survives whatever becomes of Airflow."""
    armed(cluster)
    close(cluster)
    with pytest.raises(LeaseError, match="a window is opened once"):
        armed(cluster)
    assert read_lease(cluster) is None
    assert not suspended(cluster)


def test_a_lease_that_is_taken_away_while_its_run_arms_leaves_no_image_pruner_suspended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard may close the window before there is anything of it to put back."""
    suspend = cluster.suspend_image_pruner

    def suspend_after_the_guard(value: bool, **whose: Any) -> None:
        monkeypatch.setattr(cluster, "suspend_image_pruner", suspend)
        close(cluster)
        suspend(value, **whose)

    monkeypatch.setattr(cluster, "suspend_image_pruner", suspend_after_the_guard)
    with pytest.raises(LeaseError, match=r"Somebody removed the lease of .* right after it was written"):
        armed(cluster)
    assert not suspended(cluster)


def test_a_second_try_that_finds_its_window_open_says_what_the_first_one_made(cluster: Cluster) -> None:
    """What was handed over by the first is lost with it, and without it a removed lease could not be written anew."""
    armed(cluster)
    openings: list[Opening] = []
    for _ in range(2):
        open_window(cluster, holder=HOLDER, limit_seconds=300, opened=openings.append)
    first, second = openings
    assert abs(first.opened_at - second.opened_at) < timedelta(seconds=1)
    assert first.config_generation == second.config_generation
    close(cluster)


def test_where_a_run_did_not_say_that_it_armed_its_lease_does(cluster: Cluster) -> None:
    armed(cluster)
    lease, image_pruner = leftovers(cluster, run_token="first", owner="first", lease=None)
    assert lease.startswith(f"Config cluster: the lease of {HOLDER.run} is still there: clear restore_read_write")
    assert "spec.suspend is True" in image_pruner
    close(cluster)


@pytest.mark.parametrize("deleting", [False, True])
def test_a_pod_of_a_lost_node_keeps_no_window_open_unless_a_delete_may_live_in_it(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, deleting: bool
) -> None:
    """Guards what is given up: the object of such a pod stays, and the others take pushes."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(processes, "DELETED_POD_SECONDS", 1.0)
    armed(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    first, *_ = cluster.registry_state().ready_pods()
    if deleting:
        begin_attempt(cluster, holder=HOLDER, pod=first)
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in sandbox.registry_pods()}
    sandbox.lose_node(nodes[first.name])
    if deleting:
        with pytest.raises(PrunerLivesError, match=first.name):
            close(cluster)
        assert cluster.config()["spec"]["readOnly"] is True
    else:
        assert close(cluster) is not None
        assert read_lease(cluster) is None


def test_a_deleted_pod_on_a_node_that_does_not_answer_is_not_waited_for_as_long(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards who is to be told: the registry is read-only, and nothing but a person helps."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(processes, "SILENT_POD_SECONDS", 2.0)
    monkeypatch.setattr(processes, "DELETED_POD_SECONDS", 60.0)
    lost, *_ = cluster.registry_state().ready_pods()
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in sandbox.registry_pods()}
    sandbox.lose_node(nodes[lost.name])
    with pytest.raises(PrunerLivesError, match=f"Pod {lost.name} could neither be .* nor deleted within 2 s"):
        end_pruners(cluster, stop_seconds=1)


def test_a_pod_of_which_nothing_is_known_counts_for_more_than_one_that_was_deleted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards `reopen_anyway`: it gives up a pod that was deleted, never one that could not even be deleted."""
    _, unknown = cluster.registry_state().ready_pods()

    def delete(name: str, **_: object) -> None:
        if name == unknown.name:
            raise ClusterError("pod: 500", 500)

    def refuse(*_: object, **__: object) -> None:
        raise ClusterError("exec refused", 500)

    monkeypatch.setattr(processes, "DELETED_POD_SECONDS", 0.1)
    monkeypatch.setattr(processes, "run_in_pod", refuse)
    monkeypatch.setattr(cluster, "delete_pod", delete)
    with pytest.raises(ClusterError, match="500"):
        end_pruners(cluster, stop_seconds=1)
