"""The lease of a task that works: renewed whatever happens to a renewal, and no longer than the task may take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window import lease_keeper
from include.registry_prune.window.config_lease import change_own_lease, read_lease
from include.registry_prune.window.lease import Holder, Lease, LeaseError
from include.registry_prune.window.lease_keeper import lease_kept
from include.registry_prune.window.opening import arm, open_window
from tests.registry_prune.deletion.detached_pod import wait_for
from tests.registry_prune.window.test_opening import LIMITS

HOLDER = Holder(run="registry_prune/run", token="run-1")
LASTS = timedelta(hours=1)


@pytest.fixture
def soon_over(cluster: Cluster) -> Cluster:
    """A cluster with a lease that runs out in a second."""
    arm(
        cluster,
        holder=HOLDER,
        run_url="",
        lasts=timedelta(days=1),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=True,
        limits=LIMITS,
    )
    change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(datetime.now(UTC) + timedelta(seconds=1)))
    return cluster


def held(cluster: Cluster) -> Lease:
    lease = read_lease(cluster)
    assert lease is not None
    return lease


def renewed(cluster: Cluster) -> bool:
    return held(cluster).expires_at > datetime.now(UTC) + LASTS / 2


def test_a_lease_is_renewed_while_a_task_works(soon_over: Cluster) -> None:
    with lease_kept(soon_over, holder=HOLDER, lasts=LASTS, no_longer_than=3600):
        wait_for(lambda: renewed(soon_over))


@pytest.mark.parametrize("trouble", [ClusterError("503", 503), ClusterError("409", 409), RuntimeError("a body broke")])
def test_whatever_a_renewal_fails_of_it_is_tried_again(
    soon_over: Cluster, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Guards the lease of a task that works for hours: whoever dies of an answer lets it run out."""
    monkeypatch.setattr(lease_keeper, "TRY_AGAIN_SECONDS", 0.05)
    right, troubles = AsyncCluster.config, [trouble, trouble]

    async def config(asked: AsyncCluster) -> dict[str, Any]:
        if troubles:
            raise troubles.pop()
        return await right(asked)

    monkeypatch.setattr(AsyncCluster, "config", config)
    with lease_kept(soon_over, holder=HOLDER, lasts=LASTS, no_longer_than=3600):
        wait_for(lambda: renewed(soon_over))
    assert not troubles


def test_the_lease_of_a_task_that_hangs_runs_out(soon_over: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """Guards the guard: beside a task that hangs, a lease that is renewed for ever would keep it away."""
    before = held(soon_over)
    with lease_kept(soon_over, holder=HOLDER, lasts=timedelta(seconds=0.3), no_longer_than=2.0):
        wait_for(lambda: "has not ended within 2.0 s" in caplog.text)
    assert {record.levelname for record in caplog.records if "stops renewing" in record.message} == {"CRITICAL"}
    last = held(soon_over)
    assert last.expires_at != before.expires_at, "it was renewed before that"
    wait_for(lambda: last.expired(datetime.now(UTC)))
    assert held(soon_over) == last


def test_a_lost_lease_is_not_renewed(soon_over: Cluster) -> None:
    soon_over.patch_config({"metadata": {"annotations": {"registry-prune/lease": None}}})
    with lease_kept(soon_over, holder=HOLDER, lasts=LASTS, no_longer_than=3600):
        pass
    assert read_lease(soon_over) is None
    with pytest.raises(LeaseError, match="somebody removed the lease"):
        open_window(soon_over, holder=HOLDER, limit_seconds=1)
