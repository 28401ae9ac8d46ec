"""Events on the Config CR: what `oc describe` tells of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import kubectl

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def note(cluster: Cluster, text: str, minutes: int = 0, *, reason: str = "RegistryReadOnly") -> None:
    at = NOON + timedelta(minutes=minutes)
    cluster.note_on_config(name="registry-prune.window", reason=reason, text=text, warns=not minutes, at=at)


def test_an_event_is_about_the_config_and_one_incident_is_one_event(sandbox: Sandbox, cluster: Cluster) -> None:
    note(cluster, "read-only until 13:00, by run x")
    note(cluster, "pushes are taken again", 5, reason="RegistryReadWrite")
    listed = kubectl(sandbox.kubeconfig, "get", "events", "-n", "default", "-o", "json")
    (event,) = json.loads(listed)["items"]
    assert event["involvedObject"]["kind"] == "Config"
    assert event["involvedObject"]["uid"] == cluster.config()["metadata"]["uid"]
    assert (event["message"], event["reason"], event["type"]) == (
        "pushes are taken again",
        "RegistryReadWrite",
        "Normal",
    )
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        2, "2026-01-01T12:00:00Z", "2026-01-01T12:05:00Z",
    )  # fmt: skip


def test_an_account_without_the_right_is_told_so(sandbox: Sandbox, cluster: Cluster) -> None:
    kubectl(sandbox.kubeconfig, "delete", "rolebinding", "registry-prune", "-n", "default")
    with pytest.raises(ClusterError, match="events") as refused:
        note(cluster, "read-only")
    assert refused.value.permanent
