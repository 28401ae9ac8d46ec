"""The contestants that need no Airflow, on a small sandbox."""

from __future__ import annotations

from benchmarks.contestants.by_hand import DocumentedProcedure, Limit
from benchmarks.contestants.contestant import MIN_BLOBS
from benchmarks.read_only.measurement import SLOW, arena, clear_up, median, run_once, slow_storage
from sandbox.base.names import CLUSTER, CONFIGS


def test_the_limit_and_the_documented_procedure_prune_and_are_measured_by_the_same_observer() -> None:
    with arena("quick") as there:
        limit = run_once(there, Limit(), orphans=MIN_BLOBS)
        by_hand = run_once(there, DocumentedProcedure(careful=True), orphans=MIN_BLOBS)
        quiet = [run_once(there, each, orphans=5) for each in (Limit(), DocumentedProcedure(careful=True))]
    for found in (limit, by_hand):
        assert found.rollouts == 2
        assert found.delete > 0
        assert found.read_only >= found.rollout_time + found.delete
        assert found.overhead >= 0
        assert found.cpu is None
    assert limit.check == 0
    assert by_hand.check > 0
    assert by_hand.requests > limit.requests
    # Nothing to prune: the limit does nothing, the documentation looks inside a window.
    assert [(each.rollouts, each.delete) for each in quiet] == [(0, 0), (2, 0)]
    assert quiet[0].read_only == 0
    assert median([limit, by_hand])["rollouts"] == 2
    assert median([limit, by_hand])["cpu"] is None


def test_a_slow_storage_takes_its_time_for_each_orphan_from_every_contestant() -> None:
    with arena("quick") as there:
        runs = [
            run_once(there, each, orphans=MIN_BLOBS, storage=SLOW)
            for each in (Limit(), DocumentedProcedure(careful=True))
        ]
        order = slow_storage(MIN_BLOBS)
        assert there.sandbox.verify().orphans_left < MIN_BLOBS, "they are in no storage"
    assert all(each.delete >= MIN_BLOBS * (order.seconds_per_blob + order.seconds_per_deletion) for each in runs)
    assert runs[1].check >= MIN_BLOBS * order.seconds_per_blob
    assert runs[1].check < runs[1].delete


def test_a_contestant_that_fails_in_its_window_does_not_keep_the_next_one_out() -> None:
    with arena("quick") as there:
        change = {"annotations": {"registry-prune/lease": "of a run that is gone"}}
        config = there.sandbox.call(
            lambda cluster: cluster.store.modify(CONFIGS, CLUSTER, None, lambda found: found["metadata"].update(change))
        )
        assert "registry-prune/lease" in config["metadata"]["annotations"]
        there.sandbox.configure_registry(readOnly=True)
        there.observer.wait_for(lambda window: window.settled_at, 30)
        clear_up(there)
        found = there.sandbox.get_object(CONFIGS, CLUSTER)
        assert "annotations" not in found["metadata"]
        assert there.observer.wait_for(lambda window: window.closed_at, 30).closed_at is not None
        assert run_once(there, Limit(), orphans=MIN_BLOBS).rollouts == 2
