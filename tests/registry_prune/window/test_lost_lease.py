"""A person removes the lease from an open window: the run recognises its window, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import Opening, Settled
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.window import config_lease
from include.registry_prune.window.closing import close_window
from include.registry_prune.window.config_lease import read_lease
from include.registry_prune.window.lease import ANNOTATION, Lease, LeaseError, TakenOverError
from include.registry_prune.window.lost_lease import reclaim_window
from include.registry_prune.window.opening import arm, open_window
from sandbox.cluster import Sandbox
from tests.registry_prune.window.test_opening import HOLDER, LIMITS, OTHER


class Opened:
    """A run that opened its window, and what it handed over."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lease = arm(
            cluster,
            holder=HOLDER,
            run_url="",
            lasts=timedelta(hours=1),
            must_end_by=datetime.now(UTC) + timedelta(days=1),
            binding_ours=False,
            limits=LIMITS,
        )
        openings: list[Opening] = []
        self.settled = open_window(cluster, holder=HOLDER, limit_seconds=300, opened=openings.append)
        [self.opening] = openings

    def reclaim(self, settled: Settled | None = None) -> None:
        reclaim_window(self.cluster, armed=self.lease, opening=self.opening, settled=settled)


@pytest.fixture
def opened(cluster: Cluster) -> Opened:
    return Opened(cluster)


def remove_lease(sandbox: Sandbox) -> None:
    sandbox.call(
        lambda running: running.store.modify(
            "configs.imageregistry.operator.openshift.io",
            "cluster",
            None,
            lambda config: config["metadata"]["annotations"].pop(ANNOTATION),
        )
    )


def set_read_only(sandbox: Sandbox, cluster: Cluster, value: bool) -> None:
    sandbox.configure_registry(readOnly=value)
    wait_until_settled(cluster, read_only=value, limit_seconds=300)


def test_a_window_whose_lease_was_removed_is_closed_as_ever(sandbox: Sandbox, cluster: Cluster, opened: Opened) -> None:
    """Guards `reclaim_window`: without it nobody puts the registry back. Not settled yet: what the patch made is
    known all the same."""
    remove_lease(sandbox)
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is None
    opened.reclaim(settled=None)
    lease = read_lease(cluster)
    assert lease is not None
    assert (lease.holder, lease.opened_at) == (HOLDER.run, opened.opening.opened_at)
    assert lease.delete_started_at is not None, "a delete may have been begun"
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is not None
    verified = sandbox.verify()
    assert verified.ok, verified.problems


@pytest.mark.parametrize("text", ["garbage", "{}", "x" * 100_000], ids=["garbage", "no fields", "too much"])
def test_a_window_whose_lease_was_written_over_is_closed_as_ever(
    sandbox: Sandbox, cluster: Cluster, opened: Opened, text: str
) -> None:
    """Guards the run against whoever may annotate the Config and nothing else: he keeps no registry read-only."""
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: text}}})
    opened.reclaim(opened.settled)
    assert held_by(read_lease(cluster)) == HOLDER.run
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is not None
    verified = sandbox.verify()
    assert verified.ok, verified.problems


def test_what_is_written_over_the_lease_stays_where_the_window_is_not_the_runs_any_more(
    sandbox: Sandbox, cluster: Cluster, opened: Opened
) -> None:
    set_read_only(sandbox, cluster, value=False)
    set_read_only(sandbox, cluster, value=True)
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: "garbage"}}})
    with pytest.raises(LeaseError, match="is no lease"):
        opened.reclaim(opened.settled)
    assert cluster.registry_state().read_only


def test_where_the_config_was_changed_otherwise_the_pods_of_the_window_are_recognised(
    sandbox: Sandbox, cluster: Cluster, opened: Opened
) -> None:
    sandbox.configure_registry(operatorLogLevel="Debug")
    remove_lease(sandbox)
    opened.reclaim(opened.settled)
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    assert not cluster.registry_state().read_only


def test_a_registry_that_a_person_made_read_only_again_is_left_alone(
    sandbox: Sandbox, cluster: Cluster, opened: Opened
) -> None:
    """Guards `is_still_window`: the same readOnly, but no longer this run's. All else is put back."""
    remove_lease(sandbox)
    set_read_only(sandbox, cluster, value=False)
    set_read_only(sandbox, cluster, value=True)
    opened.reclaim(opened.settled)
    with pytest.raises(TakenOverError, match="This run leaves it so"):
        close_window(cluster, holder=HOLDER, limits=LIMITS)
    assert cluster.registry_state().read_only
    assert read_lease(cluster) is None


def test_where_the_registry_takes_pushes_again_all_else_is_put_back(
    sandbox: Sandbox, cluster: Cluster, opened: Opened
) -> None:
    """Guards the lease that is written also then: one edit that removes it and sets readOnly to false (`oc replace`)
    must not leave the pruner, the cached blobs and a suspended ImagePruner behind."""
    remove_lease(sandbox)
    set_read_only(sandbox, cluster, value=False)
    before = {pod.uid for pod in cluster.registry_state().pods}
    opened.reclaim(opened.settled)
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    after = {pod.uid for pod in cluster.registry_state().pods if not pod.ended}
    assert before.isdisjoint(after), "pods that may know deleted blobs"
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is False


def test_a_window_that_was_closed_is_not_taken_up_again(cluster: Cluster, opened: Opened) -> None:
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    opened.reclaim(opened.settled)
    assert read_lease(cluster) is None


def test_another_runs_lease_is_never_written_over(sandbox: Sandbox, cluster: Cluster, opened: Opened) -> None:
    """Guards the look for another lease, in an otherwise unchanged window."""
    remove_lease(sandbox)
    other = opened.lease.model_copy(update={"holder": OTHER.run, "token": OTHER.token})
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: other.to_annotation()}}})
    opened.reclaim(opened.settled)
    assert held_by(read_lease(cluster)) == OTHER.run


def test_a_lease_that_comes_in_between_is_not_written_over(
    sandbox: Sandbox, cluster: Cluster, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the resourceVersion in the patch."""
    remove_lease(sandbox)
    other = opened.lease.model_copy(update={"holder": OTHER.run, "token": OTHER.token})
    look = cluster.registry_state

    def look_while_another_arms() -> object:
        state = look()
        cluster.patch_config({"metadata": {"annotations": {ANNOTATION: other.to_annotation()}}})
        return state

    monkeypatch.setattr(cluster, "registry_state", look_while_another_arms)
    opened.reclaim(opened.settled)
    assert held_by(read_lease(cluster)) == OTHER.run


def held_by(lease: Lease | None) -> str | None:
    return None if lease is None else lease.holder


def test_a_registry_that_became_read_only_after_the_run_had_armed_is_neither_opened_nor_set_back(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    """Guards the look at `opened_at`: the lease is there, but readOnly is somebody else's."""
    arm(
        cluster,
        holder=HOLDER,
        run_url="",
        lasts=timedelta(hours=1),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=False,
        limits=LIMITS,
    )
    set_read_only(sandbox, cluster, value=True)
    with pytest.raises(
        LeaseError, match=r"somebody else set spec\.readOnly to true after this run had written its lease"
    ):
        open_window(cluster, holder=HOLDER, limit_seconds=300)
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is not None
    assert config_lease.read_lease(cluster) is None
    assert cluster.registry_state().read_only
    pruner = cluster.image_pruner()
    assert pruner is not None
    assert pruner["spec"]["suspend"] is False
