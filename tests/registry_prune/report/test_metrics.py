"""Figures by Airflow's own metrics, as a StatsD server gets them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import statsd
from airflow.sdk._shared.observability.metrics import stats as airflow_stats
from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger

from include.registry_prune.report.metrics import emit, report_figures, window_figures
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.verdict.decision import Action

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class StatsServer:
    """What came in over UDP."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(60)

    def take(self, count: int) -> set[str]:
        return {self.socket.recv(4096).decode() for _ in range(count)}


@pytest.fixture
def server() -> Iterator[StatsServer]:
    """A StatsD server, and Airflow's metrics set to it as Airflow itself does."""
    running = StatsServer()
    before = (airflow_stats._factory, airflow_stats._export_legacy_names)

    def factory() -> Any:
        host, port = running.socket.getsockname()
        return get_statsd_logger(stats_class=statsd.StatsClient, host=host, port=port, prefix="airflow")

    airflow_stats.initialize(factory=factory, export_legacy_names=True)
    yield running
    airflow_stats._factory, airflow_stats._export_legacy_names = before
    airflow_stats._backend = None
    running.socket.close()


def report(**changes: Any) -> RunReport:
    return RunReport(**{"run_id": "x", "cluster": "berlin", "outcome": Outcome.PRUNED, "reported_at": NOON, **changes})


def test_plain_statsd_gets_the_cluster_in_the_name(server: StatsServer) -> None:
    emit("berlin", {"orphaned_blobs": 3214.0, "freed_bytes": 0.0})
    assert server.take(2) == {
        "airflow.registry_prune.berlin.orphaned_blobs:3214.0|g",
        "airflow.registry_prune.berlin.freed_bytes:0.0|g",
    }


def test_where_metrics_have_tags_the_cluster_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, float, Any]] = []
    monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
    monkeypatch.setattr(
        "airflow.sdk.observability.stats.gauge", lambda name, value, tags: said.append((name, value, tags))
    )
    emit("berlin", {"orphaned_blobs": 3214.0})
    assert said == [("registry_prune.orphaned_blobs", 3214.0, {"cluster": "berlin"})]


def test_metrics_that_fail_are_said_and_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("airflow.sdk.observability.stats.gauge", broken)
    emit("berlin", {"orphaned_blobs": 1.0})
    assert "The metrics of cluster berlin did not get out: no route" in caplog.text


def test_the_figures_of_the_last_run_and_when_one_ended_well() -> None:
    failed = report(
        outcome=Outcome.FAILED, reported_at=NOON + timedelta(days=1), orphaned_blobs=5000, verdict=Action.STOP
    )
    good = report(orphaned_blobs=7, verdict=Action.PRUNE)
    assert report_figures([failed, good]) == {
        "orphaned_blobs": 5000.0,
        "left_blobs": 5000.0,
        "verdict": 2.0,
        "run_failed": 1.0,
        "last_success_timestamp_seconds": NOON.timestamp(),
    }
    full = report(
        orphaned_blobs=10,
        orphaned_bytes=20,
        deleted_blobs=10,
        freed_bytes=20,
        read_only_seconds=42.0,
        verdict=Action.PRUNE,
    )
    assert report_figures([full]) == {
        "orphaned_blobs": 10.0, "orphaned_bytes": 20.0, "left_blobs": 0.0, "freed_bytes": 20.0,
        "read_only_seconds": 42.0,
        "verdict": 1.0, "run_failed": 0.0, "last_success_timestamp_seconds": NOON.timestamp(),
    }  # fmt: skip
    assert report_figures([]) == {}


def test_the_figures_of_a_window() -> None:
    late = window_figures(NOON - timedelta(hours=1), NOON - timedelta(minutes=1), now=NOON)
    assert late == {
        "guard_last_round_timestamp_seconds": NOON.timestamp(),
        "lease_age_seconds": 3600.0,
        "window_overdue_seconds": 60.0,
    }  # fmt: skip
    in_time = window_figures(NOON - timedelta(hours=1), NOON + timedelta(minutes=1), now=NOON)
    assert in_time["window_overdue_seconds"] == 0.0
    assert window_figures(None, None, now=NOON)["lease_age_seconds"] == 0.0
