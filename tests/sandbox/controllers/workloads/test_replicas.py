"""How many pods a rollout starts and ends at a time."""

from __future__ import annotations

import pytest

from sandbox.controllers.workloads.replicas import Replicas, Strategy, scale_new, scale_old


def replicas(name: str, wanted: int, available: int) -> Replicas:
    return Replicas(name, wanted, present=wanted, ready=available, available=available)


@pytest.mark.parametrize(
    ("strategy", "surge", "unavailable"),
    [
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 1, 0),
        ({"maxSurge": 1, "maxUnavailable": 1}, 1, 1),
        ({"maxSurge": 0, "maxUnavailable": "25%"}, 0, 1),
        ({}, 1, 0),
    ],
)
def test_bounds_are_rounded_so_that_a_rollout_is_possible(
    strategy: dict[str, object], surge: int, unavailable: int
) -> None:
    deployment = {"spec": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": strategy}}}
    found = Strategy.of(deployment)
    assert (found.max_surge, found.max_unavailable) == (surge, unavailable)


TWO = Strategy(wanted=2, max_surge=1, max_unavailable=1)


def test_a_rollout_begins_with_one_pod_more() -> None:
    assert scale_new(Replicas("new", 0), [replicas("old", 2, 2)], TWO) == 1


def test_then_one_old_pod_goes() -> None:
    assert scale_old(Replicas("new", 1), [replicas("old", 2, 2)], TWO) == {"old": 1}


def test_no_more_old_pods_go_than_may_be_missing() -> None:
    assert scale_old(replicas("new", 2, 0), [replicas("old", 1, 1)], TWO) == {}
    assert scale_old(replicas("new", 2, 1), [replicas("old", 1, 1)], TWO) == {"old": 0}


def test_old_pods_that_are_not_ready_go_first() -> None:
    old = [replicas("oldest", 1, 1), replicas("older", 1, 0)]
    assert scale_old(replicas("new", 1, 0), old, TWO) == {"older": 0}


def test_recreate_waits_for_the_old_pods() -> None:
    strategy = Strategy(wanted=2, max_surge=0, max_unavailable=2, recreate=True)
    assert scale_old(Replicas("new", 0), [replicas("old", 2, 2)], strategy) == {"old": 0}
    assert scale_new(Replicas("new", 0), [Replicas("old", 0, present=1)], strategy) == 0
    assert scale_new(Replicas("new", 0), [Replicas("old", 0)], strategy) == 2
