"""Whether a registry that is read-only without a lease is the window that a run opened."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.registry_prune.cluster.registry_state import Opening, PodState, RegistryState, Settled, is_still_window

OPENING = Opening(opened_at=datetime(2026, 11, 23, tzinfo=UTC), config_generation=7)
SETTLED = Settled(read_only=True, seconds=1.0, pods=2, pod_uids=("a", "b"))


def registry(*pods: str, generation: int = 7, read_only: bool = True, ended: tuple[str, ...] = ()) -> RegistryState:
    return RegistryState(
        read_only=read_only,
        management_state="Managed",
        config_generation=generation,
        config_observed_generation=generation,
        pods=tuple(PodState(name=uid, uid=uid, read_only=True, ready=True, ended=uid in ended) for uid in pods),
    )


@pytest.mark.parametrize(
    ("state", "settled", "ours"),
    [
        pytest.param(registry("a", "b"), SETTLED, True, id="nothing has changed"),
        pytest.param(registry("x", "y"), None, True, id="the spec is as the patch left it, pods still come and go"),
        pytest.param(registry("a", "b", generation=8), SETTLED, True, id="something else of the spec was changed"),
        pytest.param(registry("a", generation=8), SETTLED, True, id="a pod is gone"),
        pytest.param(registry("a", "b", "x", generation=8, ended=("x",)), SETTLED, True, id="an evicted pod is left"),
        pytest.param(registry("x", "y", generation=9), SETTLED, False, id="set back, and read-only again"),
        pytest.param(registry("a", "y", generation=9), SETTLED, False, id="one of the pods is another"),
        pytest.param(registry(generation=9), SETTLED, False, id="no pod tells"),
        pytest.param(registry("a", "b", generation=8), None, False, id="nobody knows the window's pods"),
        pytest.param(registry("a", "b", read_only=False), SETTLED, False, id="it takes pushes"),
    ],
)
def test_a_window_is_recognised_by_the_spec_or_by_its_pods(
    state: RegistryState, settled: Settled | None, ours: bool
) -> None:
    assert is_still_window(state, OPENING, settled) is ours
