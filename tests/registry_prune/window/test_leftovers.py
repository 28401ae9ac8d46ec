"""What is left behind of a run, and of others that are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.pruner import processes
from include.registry_prune.window.lease import ANNOTATION, LONGEST_WINDOW, Lease
from include.registry_prune.window.leftovers import leftovers
from tests.registry_prune.cluster.test_registry_state import BEFORE

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
OTHERS = Lease(
    holder="registry_prune/other", token="other-1", armed_at=NOW, opened_at=NOW, expires_at=NOW + HOUR,
    must_end_by=NOW + 2 * HOUR,
)  # fmt: skip


def left(annotation: str) -> list[str]:
    """What a run finds that opened no window, on a registry that is read-only by another one's lease."""
    state = RegistryState(read_only=True, management_state="Managed", config_generation=1, config_observed_generation=1)
    config = {"metadata": {"annotations": {ANNOTATION: annotation}}, "spec": {"readOnly": True}}
    cluster: Any = SimpleNamespace(registry_state=lambda: state, config=lambda: config, role_bindings=list)
    return leftovers(cluster, run_token="first", owner="registry_prune/run first", lease=None)


def test_a_window_of_a_run_at_work_is_not_left_behind() -> None:
    assert left(OTHERS.to_annotation()) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expires_at": NOW - HOUR}, "its lease ran out"),
        ({"must_end_by": NOW - HOUR}, "its window had to end by"),
        ({"must_end_by": NOW + LONGEST_WINDOW + 2 * HOUR}, "which no run asks for"),
    ],
)
def test_a_window_of_a_run_that_is_gone_is_left_behind_whoever_looks(changes: dict[str, Any], why: str) -> None:
    """Guards the registry that stays read-only for somebody dead beside green runs."""
    [found] = left(OTHERS.model_copy(update=changes).to_annotation())
    assert found.startswith("Config cluster: the window of registry_prune/other is not closed although")
    assert why in found
    assert found.endswith("the guard or the next run closes it; by hand: docs/on-call.md")


def test_a_lease_that_nobody_can_read_is_left_behind() -> None:
    [found] = left("garbage")
    assert "is no lease that this version can read" in found


def test_a_pod_of_a_lost_node_is_left_behind_and_nobody_tries_to_look_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the last word of the run: without it, it was that a connection to a kubelet was refused."""

    def look(_: object, pod: PodState) -> dict[int, str]:
        assert pod.name == "new", "it would only be refused"
        return {}

    monkeypatch.setattr(processes, "_find", look)
    pods = (
        PodState(name="new", uid="1", read_only=False, ready=True, phase="Running"),
        PodState(
            name="old", uid="2", read_only=True, ready=False, phase="Running",
            terminating_since="2026-01-01T00:00:00Z",
        ),
    )  # fmt: skip
    state = BEFORE.model_copy(update={"pods": pods})
    pruner = {"spec": {"suspend": False}}
    cluster: Any = SimpleNamespace(
        registry_state=lambda: state,
        config=lambda: {"metadata": {}, "spec": {"readOnly": False}},
        role_bindings=list,
        image_pruner=lambda: pruner,
    )
    ours = OTHERS.model_copy(update={"image_pruner_suspended_before": False})
    [found] = leftovers(cluster, run_token="first", owner="registry_prune/run first", lease=ours)
    assert found.startswith("pod old: it should be gone for long, and its node does not answer")
    assert "look at `oc get nodes`" in found
