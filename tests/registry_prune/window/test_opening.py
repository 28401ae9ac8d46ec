"""The read-only window against the sandbox: settled, the lease, the pruner first and then the pushes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster import settling
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.cluster.pod_exec import run_in_pod
from include.registry_prune.cluster.registry_state import Settled, unsettled
from include.registry_prune.cluster.role import grant_role, revoke_role
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.deletion.attempts import find_or_begin
from include.registry_prune.deletion.detached_delete import look_command
from include.registry_prune.deletion.detached_log import DeleteLog, DeleteState
from include.registry_prune.pruner import processes as pruner_processes
from include.registry_prune.pruner.processes import PrunerLivesError, end_pruners, living_pruners
from include.registry_prune.window import config_lease
from include.registry_prune.window import opening as window
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.in_the_way import InTheWayError
from include.registry_prune.window.lease import ANNOTATION, DeleteAttempt, Holder, Lease, LeaseError
from include.registry_prune.window.leftovers import leftovers
from include.registry_prune.window.opening import arm, open_window, require_settled_read_only
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.deletion.detached_pod import wait_for

HOLDER = Holder(run="registry_prune/manual", token="first-1")
OTHER = Holder(run="registry_prune/other", token="other-1")
DAY = timedelta(days=1)


LIMITS = ClosingLimits(settle_seconds=60, stop_seconds=1, reopen_anyway_seconds=3600)


def armed(
    cluster: Cluster,
    holder: Holder = HOLDER,
    lasts: timedelta = DAY,
    *,
    ends_in: timedelta = DAY,
    binding_ours: bool = True,
) -> Lease:
    return arm(
        cluster,
        holder=holder,
        run_url="",
        lasts=lasts,
        must_end_by=datetime.now(UTC) + ends_in,
        binding_ours=binding_ours,
        limits=LIMITS,
    )


def close(cluster: Cluster, holder: Holder = HOLDER) -> Settled | None:
    return close_window(cluster, holder=holder, limits=LIMITS)


def test_an_open_window_has_no_writable_pod_left_not_even_a_terminating_one(cluster: Cluster) -> None:
    """Guards the Terminating check: without it the wait is over while old pods still take pushes."""
    armed(cluster)
    opened = open_window(cluster, holder=HOLDER, limit_seconds=300)
    state = cluster.registry_state()
    assert opened.read_only
    assert state.pods
    assert all(pod.read_only for pod in state.pods)
    closed = close(cluster)
    assert closed is not None
    assert closed.read_only_seconds is not None
    assert closed.read_only_seconds >= opened.seconds
    assert not any(pod.read_only for pod in cluster.registry_state().pods)


def test_right_after_the_patch_nothing_is_taken_for_settled(cluster: Cluster) -> None:
    """Guards the rules of `unsettled`: the operator still reports the old truth, and old pods serve on."""
    armed(cluster)
    cluster.patch_config({"spec": {"readOnly": True}})
    seen = [unsettled(cluster.registry_state(), read_only=True)]
    while seen[-1]:
        state = cluster.registry_state()
        seen.append(unsettled(state, read_only=True))
        if any(not pod.read_only for pod in state.pods):
            assert seen[-1], "settled although a pod takes pushes"
    words = " ".join(reason for reasons in seen for reason in reasons)
    assert "Terminating since" in words
    assert len(seen) > 2


def test_a_registry_that_does_not_settle_is_an_error_that_names_what_is_missing(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    armed(cluster)
    sandbox.stop_operator()
    with pytest.raises(NotSettledError, match="the operator has seen generation") as error:
        open_window(cluster, holder=HOLDER, limit_seconds=2)
    assert "Operator: Available=True" in str(error.value)
    sandbox.start_operator()
    assert close(cluster) is not None
    assert leftovers(cluster, run_token="first", owner="first", lease=None) == []


def test_arming_changes_nothing_but_lease_and_image_pruner_and_can_be_repeated(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    before = cluster.registry_state()
    armed(cluster)
    armed(cluster)
    lease = config_lease.read_lease(cluster)
    assert lease is not None
    assert (lease.holder, lease.opened_at, lease.image_pruner_suspended_before) == (HOLDER.run, None, False)
    assert cluster.registry_state().generation == before.generation
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is True
    close(cluster)
    verified = sandbox.verify()
    assert verified.ok, verified.problems


def test_an_image_pruner_that_was_suspended_before_stays_suspended(cluster: Cluster, admin: client.ApiClient) -> None:
    client.CustomObjectsApi(admin).patch_cluster_custom_object(
        "imageregistry.operator.openshift.io", "v1", "imagepruners", "cluster", {"spec": {"suspend": True}}
    )
    armed(cluster)
    close(cluster)
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is True


def test_an_image_pruner_that_a_window_which_is_gone_left_suspended_is_nobodys_wish(cluster: Cluster) -> None:
    """Guards base prunes: whoever takes it for a person's choice leaves it suspended for good."""
    cluster.suspend_image_pruner(True, window="gone-1")
    assert armed(cluster).image_pruner_suspended_before is False
    assert armed(cluster).image_pruner_suspended_before is False, "nor for another's by a second try"
    close(cluster)
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is False


def test_a_second_run_neither_arms_nor_opens_nor_closes_the_first_ones_window(cluster: Cluster) -> None:
    armed(cluster)
    with pytest.raises(LeaseError, match="Another run holds the read-only window: registry_prune/manual"):
        armed(cluster, holder=OTHER)
    with pytest.raises(LeaseError, match=r"it has: that of another window of registry_prune/manual"):
        open_window(cluster, holder=OTHER, limit_seconds=1)
    assert close(cluster, holder=OTHER) is None
    assert config_lease.read_lease(cluster) is not None
    close(cluster)


def test_two_runs_that_arm_at_once_never_both_get_the_window(cluster: Cluster) -> None:
    """Guards the lease's concurrency: the resourceVersion in its patch."""
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def contend(run: str) -> None:
        barrier.wait()
        try:
            # One run of two Airflows, and two windows of one run: the token alone decides.
            armed(cluster, holder=Holder(run="dag/run", token=run))
            outcomes.append(run)
        except LeaseError:
            outcomes.append("refused")

    threads = [threading.Thread(target=contend, args=(f"dag/{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lease = config_lease.read_lease(cluster)
    assert lease is not None
    assert sorted(outcomes) == sorted([lease.token, "refused", "refused", "refused"])


def test_a_damaged_lease_is_said_with_the_command_that_removes_it(cluster: Cluster) -> None:
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: "{nonsense"}}})
    with pytest.raises(LeaseError, match="oc annotate configs"):
        armed(cluster)


def start_delete(cluster: Cluster, holder: Holder = HOLDER) -> DeleteAttempt:
    """A delete, started in the open window."""
    return find_or_begin(cluster, holder=holder, attempts=4, log_bytes=1 << 20, settle_seconds=60)


def in_background(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def pruner_at_work(sandbox: Sandbox, cluster: Cluster, holder: Holder = HOLDER) -> DeleteAttempt:
    """A slow delete in the open window, seen alive."""
    sandbox.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.5))
    attempt = start_delete(cluster, holder)
    wait_for(lambda: sandbox.pruners_alive() == 1)
    return attempt


def test_closing_ends_a_living_pruner_before_pushes_are_taken_again(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the pruner check in restore: take it out and a writable pod is seen beside a living pruner."""
    armed(cluster)
    grant_role(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    pruner_at_work(seeded, cluster)
    torn: list[str] = []
    closed = threading.Event()

    def look() -> None:
        while not closed.is_set():
            alive = seeded.pruners_alive()
            if alive and cluster.config()["spec"]["readOnly"] is False and seeded.pruners_alive():
                torn.append("readOnly is false while a pruner lives")

    watcher = in_background(look)
    close(cluster)
    closed.set()
    watcher.join()
    assert torn == []
    assert not seeded.pruners_alive()
    revoke_role(cluster)
    verified = seeded.verify()
    assert verified.ok, verified.problems


@pytest.mark.parametrize("looks", [start_delete, lambda cluster: require_settled_read_only(cluster, holder=HOLDER)])
def test_a_delete_looks_for_itself_that_the_registry_is_read_only(
    sandbox: Sandbox, cluster: Cluster, looks: Callable[[Cluster], object]
) -> None:
    """Guards the look before the delete: without it `find_or_begin` starts one in a pod that takes pushes. The dry run
    looks, too."""
    armed(cluster)
    with pytest.raises(NotSettledError, match="this run deletes nothing"):
        looks(cluster)
    assert sandbox.pruner_journal() == []


def test_a_second_pruner_is_never_started_beside_a_living_one(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the search for other pruners: of the dry run, and of a delete in a window that knows of no attempt."""
    armed(cluster)
    grant_role(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    pruner_at_work(seeded, cluster)
    assert living_pruners(cluster, cluster.registry_state())
    with pytest.raises(InTheWayError, match="A pruner is at work already"):
        require_settled_read_only(cluster, holder=HOLDER)
    config_lease.change_own_lease(cluster, HOLDER, lambda lease: lease.model_copy(update={"attempt": None}))
    with pytest.raises(InTheWayError, match="A pruner is at work already"):
        start_delete(cluster)
    assert end_pruners(cluster, stop_seconds=1) > 0
    assert living_pruners(cluster, cluster.registry_state()) == []
    assert not seeded.pruners_alive()


def test_where_a_window_is_being_closed_no_delete_starts_any_more(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the marker: a second try of the delete, started between the search for pruners and the patch."""
    armed(cluster)
    grant_role(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    assert end_pruners(cluster, stop_seconds=1) == 0
    attempt = start_delete(cluster)
    log, printed = DeleteLog(), []
    look = look_command(attempt.name, segment=log.segment, offset=0, seconds=20)
    run_in_pod(cluster, attempt.pod, look, lambda _, line: printed.append(line))
    for line in printed:
        log.feed(Stream.STDOUT, line)
    assert (log.state, log.exit_status) == (DeleteState.ENDED, 75)
    assert not [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]


def test_a_delete_does_not_start_once_its_window_is_being_closed(cluster: Cluster) -> None:
    armed(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    config_lease.change_own_lease(cluster, HOLDER, lambda lease: lease.closing(datetime.now(UTC), ()))
    with pytest.raises(NotSettledError, match="Somebody is closing the window"):
        require_settled_read_only(cluster, holder=HOLDER)


def test_a_delete_that_begins_while_its_window_is_being_closed_is_refused(cluster: Cluster) -> None:
    armed(cluster)
    config_lease.change_own_lease(cluster, HOLDER, lambda lease: lease.closing(datetime.now(UTC), ()))
    with pytest.raises(LeaseError, match="Somebody is closing the window"):
        window.begin_attempt(cluster, holder=HOLDER, pod=cluster.registry_state().ready_pods()[0])


def test_a_dead_node_is_an_error_in_time_and_does_not_keep_the_registry_closed(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    armed(cluster)
    sandbox.lose_node(sandbox.registry_pods()[0]["spec"]["nodeName"])
    with pytest.raises(NotSettledError, match="still read-write"):
        open_window(cluster, holder=HOLDER, limit_seconds=5)
    assert close(cluster) is not None
    assert cluster.config()["spec"]["readOnly"] is False


def test_after_a_delete_was_begun_a_dead_node_keeps_the_registry_closed(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pruner may live on there: torn images are worse than a registry that stays closed."""
    armed(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    window.begin_attempt(cluster, holder=HOLDER, pod=cluster.registry_state().ready_pods()[0])
    sandbox.lose_node(sandbox.registry_pods()[0]["spec"]["nodeName"])
    monkeypatch.setattr(pruner_processes, "DELETED_POD_SECONDS", 3.0)
    assert pruner_processes.PRUNER_GRACE_SECONDS == 1, "0 would take the pod's object away, and a living pruner with it"
    monkeypatch.setattr(pruner_processes, "PRUNER_GRACE_SECONDS", 7)
    with pytest.raises(PrunerLivesError, match="could neither be searched for a pruner nor deleted"):
        close(cluster)
    assert cluster.config()["spec"]["readOnly"] is True
    deleted = [pod["metadata"] for pod in sandbox.registry_pods() if "deletionTimestamp" in pod["metadata"]]
    assert [each["deletionGracePeriodSeconds"] for each in deleted] == [7], "not the pod's own: a pruner would live on"


def test_the_account_of_the_documentation_is_enough_for_the_whole_window(account: Path, cluster: Cluster) -> None:
    grant = grant_role(cluster)
    assert grant.ours
    assert grant_role(cluster) == grant, "a second try takes it for its own"
    assert revoke_role(cluster)
    assert not revoke_role(cluster)


def test_no_window_is_opened_where_no_operator_works(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the look at the ImagePruner's generation: a patch is accepted, and nobody would carry it to the pods."""
    monkeypatch.setattr(window, "OPERATOR_SECONDS", 1.0)
    sandbox.stop_operator()
    with pytest.raises(LeaseError, match=r"operator does not answer: ImagePruner cluster took spec\.suspend"):
        armed(cluster)
    assert config_lease.read_lease(cluster) is None
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is False
    assert cluster.config()["spec"]["readOnly"] is False


def test_an_operator_that_stops_in_the_window_is_named_at_once_and_the_window_is_closed(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards both limits on a silent operator: no pod ever changed, so nothing has to be waited for."""
    monkeypatch.setattr(settling, "OPERATOR_SECONDS", 1.0)
    armed(cluster)
    sandbox.stop_operator()
    with pytest.raises(NotSettledError, match=r"operator does not answer: .* No pod became read-only"):
        open_window(cluster, holder=HOLDER, limit_seconds=3600)
    closed = close(cluster)
    assert closed is not None
    assert config_lease.read_lease(cluster) is None
    assert cluster.config()["spec"]["readOnly"] is False


def test_a_role_of_a_run_at_work_is_neither_taken_over_nor_taken_away(cluster: Cluster) -> None:
    """Guards the binding's owner: a second Airflow, or a second entry of this cluster, has the same binding."""
    assert grant_role(cluster, owner="first").ours
    assert not grant_role(cluster, owner="second", is_over=lambda owner: False).ours
    assert not revoke_role(cluster, owner="second")
    assert leftovers(cluster, run_token="second", owner="second", lease=None) == []
    assert grant_role(cluster, owner="second", is_over=lambda owner: owner == "first").ours
    assert not revoke_role(cluster, owner="first")
    assert revoke_role(cluster, owner="second")
