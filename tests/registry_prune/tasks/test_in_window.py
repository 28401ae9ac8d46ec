"""The steps inside the window: what is known of the pods of one that never settled."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.registry_prune.cluster.registry_state import PodsSeen
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.in_window import PODS_SEEN, SetReadOnly
from include.registry_prune.window import opening
from tests.registry_prune.tasks.test_window_binding import OURS, PlayedContext, approval, armed


@pytest.mark.parametrize("first_pod_at", [datetime.now(UTC) - timedelta(minutes=2), None])
def test_a_window_that_does_not_settle_hands_over_what_its_pods_showed(
    monkeypatch: pytest.MonkeyPatch, first_pod_at: datetime | None
) -> None:
    """Guards the report's figures: from the first read-only pod on, uploads are refused."""

    def open_window(*_: object, **__: object) -> None:
        raise NotSettledError("pod registry-1: still read-write", first_pod_at=first_pod_at)

    handed_over: dict[str, Any] = {}
    context: Any = PlayedContext("set_read_only", {"approve_window": approval(OURS), "arm_window": armed(OURS)})
    monkeypatch.setattr(context, "xcom_push", handed_over.__setitem__)
    monkeypatch.setattr(opening, "open_window", open_window)
    monkeypatch.setattr(Run, "cluster", SimpleNamespace())
    monkeypatch.setattr(Run, "lease_keeper", lambda run: nullcontext())
    with pytest.raises(AirflowFailException, match="pod registry-1: still read-write"):
        SetReadOnly(task_id="set_read_only", cluster=ClusterSettings()).execute(context)
    assert handed_over == {PODS_SEEN: PodsSeen(first_pod_at=first_pod_at).to_json()}
