"""What is seen while the registry settles, and how soon somebody is told that it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from include.registry_prune.cluster import settling
from include.registry_prune.cluster.registry_state import LOST_POD_SECONDS, RegistryState
from include.registry_prune.cluster.settling import (
    LOOK_AGAIN_SECONDS,
    OPERATOR_SECONDS,
    NotSettledError,
    wait_until_settled,
)
from include.registry_prune.deletion.follower import ENDED_PATIENCE_SECONDS
from include.registry_prune.pruner.processes import SILENT_POD_SECONDS
from sandbox.base.settings import SandboxSettings
from tests.registry_prune.cluster.test_registry_state import BEFORE, SETTLED_READ_ONLY, old_pod, pod, state

PATCHED = state(BEFORE, read_only=True, config_generation=6)
NONE_READY = state(pods=(old_pod(), pod("image-registry-new-1", ready=False)))
ONE_READY = state(pods=(old_pod(), pod("image-registry-new-1")))


class Shown:
    """A cluster that shows these states one after the other; the last one for good."""

    def __init__(self, *states: RegistryState) -> None:
        self.states = list(states)
        self.looked_at: list[datetime] = []

    def registry_state(self) -> RegistryState:
        self.looked_at.append(datetime.now(UTC))
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def at_once(cluster: object) -> Iterator[Callable[[float], None]]:
        yield lambda seconds: None

    monkeypatch.setattr(settling, "registry_changes", at_once)


def test_the_first_ready_pod_of_the_wanted_mode_is_noted() -> None:
    """Guards the report's figures: from then on uploads are refused, and not from the patch on."""
    shown: Any = Shown(PATCHED, NONE_READY, ONE_READY, SETTLED_READ_ONLY)
    settled = wait_until_settled(shown, read_only=True, limit_seconds=300)
    _, _, with_first_pod, at_the_end = shown.looked_at
    assert settled.first_pod_at is not None
    assert with_first_pod <= settled.first_pod_at <= at_the_end


@pytest.mark.parametrize(
    ("last", "limit_seconds", "message"),
    [
        (ONE_READY, 0.0, "still read-write"),
        (state(ONE_READY, read_only=False), 300, "Somebody has changed it meanwhile"),
        (
            state(pods=(pod(), old_pod(terminating_since="2026-01-01T00:00:00Z"))),
            300,
            "pod image-registry-old-1 should be gone",
        ),
    ],
    ids=["the limit is over", "somebody has set it back", "a lost node"],
)
@pytest.mark.parametrize("first", [ONE_READY, None], ids=["one was seen", "none was seen before"])
def test_an_error_says_when_the_first_pod_was_seen(
    first: RegistryState | None, last: RegistryState, limit_seconds: float, message: str
) -> None:
    began = datetime.now(UTC)
    shown: Any = Shown(*([first] if first else []), last)
    with pytest.raises(NotSettledError, match=message) as error:
        wait_until_settled(shown, read_only=True, limit_seconds=limit_seconds)
    assert error.value.first_pod_at is not None
    assert error.value.first_pod_at >= began


def test_where_no_pod_came_to_the_wanted_mode_none_is_noted() -> None:
    shown: Any = Shown(NONE_READY)
    with pytest.raises(NotSettledError) as error:
        wait_until_settled(shown, read_only=True, limit_seconds=0.0)
    assert error.value.first_pod_at is None


def test_of_an_operator_or_a_node_that_does_not_answer_somebody_is_told_within_two_minutes() -> None:
    """A pod of a lost node counts as lost so long after its grace, which is the one that the operator gives."""
    assert OPERATOR_SECONDS + LOOK_AGAIN_SECONDS <= 120
    assert SandboxSettings.real().grace + LOST_POD_SECONDS + LOOK_AGAIN_SECONDS <= 120
    # Of one with the delete's pod: its follower gives it up, and then whoever closes the window.
    assert LOST_POD_SECONDS + ENDED_PATIENCE_SECONDS + SILENT_POD_SECONDS <= 120
