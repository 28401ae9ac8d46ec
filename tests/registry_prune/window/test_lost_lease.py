"""A person removes the lease from an open window: the run recognises its window, and nobody else's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import Opening, Settled
from include.registry_prune.cluster.settling import wait_until_settled
from include.registry_prune.window import config_lease
from include.registry_prune.window.closing import close_window
from include.registry_prune.window.config_lease import read_lease
from include.registry_prune.window.lease import ANNOTATION, Lease, LeaseError
from include.registry_prune.window.lost_lease import reclaim_window
from include.registry_prune.window.opening import arm, open_window
from sandbox.cluster import Sandbox
from tests.registry_prune.window.test_opening import HOLDER, LIMITS


class Opened:
    """A run that opened its window, and what it handed over."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lease = arm(
            cluster, holder=HOLDER, run_url="", lasts=timedelta(hours=1), binding_ours=False, limits=LIMITS
        )
        openings: list[Opening] = []
        self.settled = open_window(cluster, holder=HOLDER, limit_seconds=300, opened=openings.append)
        [self.opening] = openings

    def reclaim(self, settled: Settled | None = None) -> bool:
        return reclaim_window(self.cluster, armed=self.lease, opening=self.opening, settled=settled)


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
    assert opened.reclaim(settled=None)
    lease = read_lease(cluster)
    assert lease is not None
    assert (lease.holder, lease.opened_at) == (HOLDER, opened.opening.opened_at)
    assert lease.delete_started_at is not None, "a delete may have been begun"
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is not None
    verified = sandbox.verify()
    assert verified.ok, verified.problems


def test_where_the_config_was_changed_otherwise_the_pods_of_the_window_are_recognised(
    sandbox: Sandbox, cluster: Cluster, opened: Opened
) -> None:
    sandbox.configure_registry(operatorLogLevel="Debug")
    remove_lease(sandbox)
    assert not opened.reclaim(settled=None), "nothing shows whose it is"
    assert opened.reclaim(opened.settled)
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    assert not cluster.registry_state().read_only


def test_a_registry_that_a_person_made_read_only_again_is_left_alone(
    sandbox: Sandbox, cluster: Cluster, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards `is_still_window`: the same readOnly, but no longer this run's."""
    remove_lease(sandbox)
    set_read_only(sandbox, cluster, value=False)
    set_read_only(sandbox, cluster, value=True)
    assert not opened.reclaim(opened.settled)
    assert "Somebody made the registry read-only again; it is left alone" in caplog.text
    assert close_window(cluster, holder=HOLDER, limits=LIMITS) is None
    assert cluster.registry_state().read_only


def test_where_the_registry_takes_pushes_again_no_lease_is_written(
    sandbox: Sandbox, cluster: Cluster, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    remove_lease(sandbox)
    set_read_only(sandbox, cluster, value=False)
    assert not opened.reclaim(opened.settled)
    assert read_lease(cluster) is None
    assert "left alone" not in caplog.text, "nothing is wrong, so nothing is said"


def test_another_runs_lease_is_never_written_over(sandbox: Sandbox, cluster: Cluster, opened: Opened) -> None:
    """Guards the look for another lease, in an otherwise unchanged window."""
    remove_lease(sandbox)
    other = opened.lease.model_copy(update={"holder": "registry_prune/other"})
    cluster.patch_config({"metadata": {"annotations": {ANNOTATION: other.to_annotation()}}})
    assert not opened.reclaim(opened.settled)
    assert held_by(read_lease(cluster)) == "registry_prune/other"


def test_a_lease_that_comes_in_between_is_not_written_over(
    sandbox: Sandbox, cluster: Cluster, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the resourceVersion in the patch."""
    remove_lease(sandbox)
    other = opened.lease.model_copy(update={"holder": "registry_prune/other"})
    look = cluster.registry_state

    def look_while_another_arms() -> object:
        state = look()
        cluster.patch_config({"metadata": {"annotations": {ANNOTATION: other.to_annotation()}}})
        return state

    monkeypatch.setattr(cluster, "registry_state", look_while_another_arms)
    assert not opened.reclaim(opened.settled)
    assert held_by(read_lease(cluster)) == "registry_prune/other"


def held_by(lease: Lease | None) -> str | None:
    return None if lease is None else lease.holder


def test_a_registry_that_became_read_only_after_the_run_had_armed_is_neither_opened_nor_set_back(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    """Guards the look at `opened_at`: the lease is there, but readOnly is somebody else's."""
    arm(cluster, holder=HOLDER, run_url="", lasts=timedelta(hours=1), binding_ours=False, limits=LIMITS)
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
