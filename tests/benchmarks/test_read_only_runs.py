"""The contestants that need no Airflow, on a small sandbox."""

from __future__ import annotations

from benchmarks.read_only.by_hand import DocumentedProcedure, Limit
from benchmarks.read_only.contestant import MIN_BLOBS
from benchmarks.read_only.measurement import arena, median, run_once


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
