"""What a run knows of earlier ones: by their reports, and by what release 0.1.0 left in Airflow."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.registry_prune.report.kept_reports import keep_report, report_folder
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.run.past_runs import history_asset, history_of
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.verdict.decision import Action
from include.registry_prune.verdict.history import PastRun

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Events:
    """Of an asset, as a task sees them."""

    def __init__(self, *extras: dict[str, Any]) -> None:
        self.extras = extras

    def ascending(self, wanted: bool) -> Events:
        assert not wanted
        return self

    def limit(self, count: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(extra=extra) for extra in self.extras[:count]]


@pytest.fixture
def settings(tmp_path: Path) -> ClusterSettings:
    return ClusterSettings(artifacts=tmp_path.as_uri())


def run(settings: ClusterSettings, *before_upgrade: dict[str, Any]) -> Run:
    context: Any = {
        "dag_run": SimpleNamespace(dag_id=settings.dag_id),
        "run_id": "manual__now",
        "inlet_events": {history_asset(settings): Events(*before_upgrade)},
    }
    return Run(context, settings)


def keep(settings: ClusterSettings, run_id: str, orphans: int, day: int = 0) -> None:
    report = RunReport(
        run_id=run_id,
        dag_id=settings.dag_id,
        run_after=NOON + timedelta(days=day),
        cluster="default",
        outcome=Outcome.PRUNED,
        verdict=Action.PRUNE,
        orphaned_blobs=orphans,
    )
    keep_report(report, settings.artifacts)


def found(known: Run) -> list[int | None]:
    return [each.orphaned_blobs for each in history_of(known).runs]


def test_earlier_runs_are_known_by_their_reports(settings: ClusterSettings) -> None:
    keep(settings, "a", 10, day=1)
    keep(settings, "b", 20, day=2)
    assert found(run(settings)) == [20, 10]


def test_a_run_that_is_done_again_is_no_earlier_run_of_itself(settings: ClusterSettings) -> None:
    keep(settings, "manual__now", 10)
    assert found(run(settings)) == []


def test_runs_of_before_the_upgrade_are_known_until_there_are_reports_enough(settings: ClusterSettings) -> None:
    old = [PastRun(run_id=str(number), orphaned_blobs=number).to_json() for number in (5, 4)]
    keep(settings, "a", 10)
    assert found(run(settings, *old)) == [10, 5, 4]
    for day in range(1, 20):
        keep(settings, str(day), 100 + day, day=day)
    assert 5 not in found(run(settings, *old))


def test_a_damaged_report_is_passed_over_and_named_in_the_log(
    settings: ClusterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    keep(settings, "a", 10)
    (report_folder(settings.artifacts, settings.dag_id) / "20260102T000000Z-b.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert found(run(settings)) == [10]
    assert "20260102T000000Z-b.json: it is no JSON" in caplog.text


def test_reports_that_cannot_be_read_are_an_error_and_not_a_history_without_runs(tmp_path: Path) -> None:
    """Guards the ceilings: without earlier runs none of them would be known."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    with pytest.raises(OSError, match="cannot be read"):
        history_of(run(ClusterSettings(artifacts=in_the_way.as_uri())))
