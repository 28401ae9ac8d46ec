"""The guard against the sandbox: it closes the window of a run that is gone, and touches no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.registry_prune.cluster import settling
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.role import grant_role, revoke_role
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import change_own_lease
from include.registry_prune.window.guard import guard, guard_to_the_end
from include.registry_prune.window.guard_round import Found, GuardRound
from include.registry_prune.window.lease import Holder
from include.registry_prune.window.opening import open_window
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import kubectl
from tests.registry_prune.window.test_opening import LIMITS, armed, pruner_at_work

HOLDER = Holder(run="registry_prune/gone", token="gone-1")
NEXT = Holder(run="registry_prune/next", token="next-1")
CONFIG = "configs.imageregistry.operator.openshift.io/cluster"
EXPIRED = timedelta(seconds=-1)


def never(_holder: Holder) -> bool:
    return False


def always(_holder: Holder) -> bool:
    return True


def leave_window_open(cluster: Cluster, lasts: timedelta = EXPIRED) -> None:
    """What a run leaves that dies in its window; by default its lease has run out."""
    grant_role(cluster)
    armed(cluster, HOLDER)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(datetime.now(UTC) + lasts))


def assert_as_before(sandbox: Sandbox) -> None:
    verified = sandbox.verify()
    assert verified.ok, verified.problems


def test_a_window_whose_lease_ran_out_is_closed_and_everything_put_back(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the guard: without it nothing closes the window of a run that is gone."""
    leave_window_open(cluster)
    seen = guard(cluster, limits=LIMITS, run_is_over=never)
    assert seen.found is Found.CLOSED
    assert f"The guard closed the window of {HOLDER.run}: its lease ran out" in seen.message
    assert seen.read_only_seconds is not None
    assert_as_before(seeded)


def test_a_window_whose_run_is_over_is_closed_before_its_lease_runs_out(seeded: Sandbox, cluster: Cluster) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    assert guard(cluster, limits=LIMITS, run_is_over=always).found is Found.CLOSED
    assert_as_before(seeded)


def test_a_run_that_works_is_left_alone(cluster: Cluster) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    seen = guard(cluster, limits=LIMITS, run_is_over=never)
    assert (seen.found, seen.read_only, seen.holder) == (Found.AT_WORK, True, HOLDER.run)
    assert seen.read_only_since is not None
    assert cluster.registry_state().read_only


def test_a_living_pruner_ends_before_the_guard_lets_pushes_in(seeded: Sandbox, cluster: Cluster) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    pruner_at_work(seeded, cluster, HOLDER)
    assert guard(cluster, limits=LIMITS, run_is_over=always).found is Found.CLOSED
    assert not seeded.pruners_alive()
    assert_as_before(seeded)


def test_an_armed_lease_of_a_dead_run_gives_the_image_pruner_back(sandbox: Sandbox, cluster: Cluster) -> None:
    armed(cluster, HOLDER, EXPIRED, binding_ours=False)
    seen = guard(cluster, limits=LIMITS, run_is_over=never)
    assert seen.found is Found.CLOSED
    assert seen.message.endswith("was never opened: its run did not make the registry read-only.")
    assert_as_before(sandbox)


def test_a_registry_that_somebody_else_made_read_only_is_reported_and_left_alone(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    kubectl(sandbox.kubeconfig, "patch", CONFIG, "--type=merge", "-p", '{"spec":{"readOnly":true}}')
    settling.wait_until_settled(cluster, read_only=True, limit_seconds=300)
    seen = guard(cluster, limits=LIMITS, run_is_over=always)
    assert seen.found is Found.UNEXPLAINED
    assert "no lease of this project says why" in seen.message
    assert (seen.read_only, seen.holder) == (True, "")
    assert seen.read_only_since is not None
    assert cluster.registry_state().read_only


@pytest.mark.parametrize(
    ("rounds", "told"),
    [
        ([0, 3599, 3600, 3900, 7199, 7200, 7500], [3600, 7200]),
        ([3300, 4100, 4400, 7600, 7900], [4100, 7900]),
        ([9000, 9300, 12600], [9000, 12600]),
    ],
    ids=["in time", "late rounds", "the guard was away"],
)
def test_an_unexplained_read_only_is_told_once_an_hour_however_late_the_rounds(
    rounds: list[float], told: list[float]
) -> None:
    began = datetime(2026, 11, 23, tzinfo=UTC)
    last, alerts = None, []
    for age in rounds:
        seen = GuardRound(found=Found.UNEXPLAINED, message="", read_only_seconds=age)
        last = seen.judged(last, now=began + timedelta(seconds=age), limit_seconds=3600)
        alerts += [age] if last.alert else []
    assert alerts == told


def test_a_registry_that_is_read_only_again_is_told_anew() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    unexplained = GuardRound(found=Found.UNEXPLAINED, message="", read_only_seconds=4000)
    told = unexplained.judged(None, now=now, limit_seconds=3600)
    quiet = GuardRound(found=Found.NOTHING, message="").judged(told, now=now, limit_seconds=3600)
    assert (told.alert, quiet.alert) == (True, False)
    assert unexplained.judged(quiet, now=now, limit_seconds=3600).alert


def test_a_window_that_takes_pushes_beside_its_delete_is_closed_at_once(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the look at readOnly in `why_dead`: the run's own follower, which would notice it, may be gone while the
    lease is still good."""
    leave_window_open(cluster, lasts=timedelta(hours=1))
    pruner_at_work(seeded, cluster, HOLDER)
    seeded.configure_registry(readOnly=False)
    seen = guard(cluster, limits=LIMITS, run_is_over=never)
    assert seen.found is Found.CLOSED
    assert "somebody has set spec.readOnly of Config cluster to false while it was open" in seen.message
    assert not seeded.pruners_alive()
    assert_as_before(seeded)


def test_the_role_stays_where_another_run_has_taken_it_over(sandbox: Sandbox, cluster: Cluster) -> None:
    leave_window_open(cluster)
    assert guard(cluster, limits=LIMITS, run_is_over=never, needs_role=always).found is Found.CLOSED
    assert revoke_role(cluster), "it is still there, for the other run"
    assert_as_before(sandbox)


def test_the_next_run_closes_the_window_of_a_dead_one_and_arms_its_own(sandbox: Sandbox, cluster: Cluster) -> None:
    leave_window_open(cluster)
    lease = armed(cluster, NEXT, timedelta(hours=1), binding_ours=False)
    assert lease.holder == NEXT.run
    assert not cluster.registry_state().read_only
    close_window(cluster, holder=NEXT, limits=LIMITS)
    assert_as_before(sandbox)


def test_after_a_delete_pods_that_knew_the_deleted_blobs_are_replaced(sandbox: Sandbox, cluster: Cluster) -> None:
    """Somebody else set readOnly back, so that closing finds writable pods that were there during the delete."""
    leave_window_open(cluster, lasts=timedelta(hours=1))
    change_own_lease(cluster, HOLDER, lambda lease: lease.deleting(datetime.now(UTC)))
    cluster.patch_config({"spec": {"readOnly": False}})
    settling.wait_until_settled(cluster, read_only=False, limit_seconds=300)
    before = {pod.uid for pod in cluster.registry_state().pods}
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    after = {pod.uid for pod in cluster.registry_state().pods if not pod.ended}
    assert after
    assert not before & after
    assert_as_before(sandbox)


def test_without_a_delete_no_pod_is_replaced_needlessly(cluster: Cluster) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    cluster.patch_config({"spec": {"readOnly": False}})
    settling.wait_until_settled(cluster, read_only=False, limit_seconds=300)
    before = {pod.uid for pod in cluster.registry_state().pods if not pod.ended}
    close_window(cluster, holder=HOLDER, limits=LIMITS)
    assert {pod.uid for pod in cluster.registry_state().pods if not pod.ended} == before


def test_a_pod_that_cannot_be_searched_keeps_the_registry_closed_until_the_limit(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the order: the pruner first, then the pushes; and the limit after which it reopens anyway."""
    from include.registry_prune.pruner.processes import PrunerLivesError
    from include.registry_prune.window import closing as window_closing

    leave_window_open(cluster)

    def unknown(*_arguments: object, **_options: object) -> int:
        raise PrunerLivesError("Pod x could neither be searched for a pruner nor deleted")

    monkeypatch.setattr(window_closing, "end_pruners", unknown)
    with pytest.raises(PrunerLivesError):
        guard(cluster, limits=LIMITS, run_is_over=never)
    assert cluster.registry_state().read_only
    at_once = ClosingLimits(settle_seconds=60, stop_seconds=1, reopen_anyway_seconds=0)
    assert guard(cluster, limits=at_once, run_is_over=never).found is Found.CLOSED
    assert_as_before(sandbox)


def test_a_delete_whose_lease_was_removed_with_its_window_is_ended(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the look without a lease: one edit takes both away (`oc replace`), and nobody follows."""
    leave_window_open(cluster, lasts=timedelta(hours=1))
    pruner_at_work(seeded, cluster, HOLDER)
    seeded.configure_registry(readOnly=False)
    annotations = dict.fromkeys(cluster.config()["metadata"]["annotations"])
    cluster.patch_config({"metadata": {"annotations": annotations}})
    seen = guard(cluster, limits=LIMITS, run_is_over=never).judged(None, now=datetime.now(UTC), limit_seconds=1)
    assert (seen.found, seen.alert) == (Found.DELETE_ENDED, True)
    assert seeded.pruners_alive() == 0
    again = guard(cluster, limits=LIMITS, run_is_over=never)
    assert again.found is Found.NOTHING


def leave_window_that_ends(cluster: Cluster, seconds: float) -> datetime:
    """Its run renews the lease for ever; returns when it has to end."""
    lease = armed(cluster, HOLDER, ends_in=timedelta(seconds=seconds), binding_ours=False)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    assert lease.must_end_by is not None
    return lease.must_end_by


def guarded_to_the_end(cluster: Cluster, *, warning: float, within: float = 300.0) -> tuple[GuardRound, list[str]]:
    told: list[str] = []
    before = timedelta(seconds=warning)
    seen = guard_to_the_end(
        lambda: guard(cluster, limits=LIMITS, run_is_over=never, warning=before),
        warning=before,
        within=timedelta(seconds=within),
        warned=lambda late: told.append(late.message),
    )
    return seen, told


def test_a_window_is_closed_at_its_end_whoever_renews_its_lease_and_told_once_before(
    seeded: Sandbox, cluster: Cluster
) -> None:
    """Guards the end that nobody moves, the wait for it, and the warning."""
    end = leave_window_that_ends(cluster, 8.0)
    change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(datetime.now(UTC) + timedelta(hours=20)))
    seen, told = guarded_to_the_end(cluster, warning=2.0)
    assert datetime.now(UTC) >= end
    assert seen.found is Found.CLOSED
    assert "its window had to end by" in seen.message
    assert len(told) == 1
    assert "nobody has begun to close it" in told[0]
    assert_as_before(seeded)


def test_a_window_that_somebody_closes_is_not_warned_of(sandbox: Sandbox, cluster: Cluster) -> None:
    leave_window_that_ends(cluster, 60.0)
    change_own_lease(cluster, HOLDER, lambda lease: lease.closing(datetime.now(UTC), ()))
    seen, told = guarded_to_the_end(cluster, warning=3600.0)
    assert (seen.found, told) == (Found.AT_WORK, [])
    close_window(cluster, holder=HOLDER, limits=LIMITS)


def test_a_window_that_ends_after_the_next_round_is_that_rounds(sandbox: Sandbox, cluster: Cluster) -> None:
    leave_window_that_ends(cluster, 3600.0)
    seen, told = guarded_to_the_end(cluster, warning=60.0)
    assert (seen.found, told) == (Found.AT_WORK, [])
    assert "its window ends by" in seen.message
    close_window(cluster, holder=HOLDER, limits=LIMITS)
