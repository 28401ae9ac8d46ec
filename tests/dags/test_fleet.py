"""Several clusters of one file: whose window is opened when, as the gate sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.fleet import turn
from include.registry_prune.fleet.claims import own_claim
from include.registry_prune.fleet.others import release_turn
from include.registry_prune.report.kept_reports import keep_report
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, load_clusters
from include.registry_prune.tasks.gates import RightMoment
from include.registry_prune.verdict.decision import Action, Verdict
from tests.dags.test_before_window import Looks


class Fleet:
    """A file with clusters of which two may be read-only at once, and whose reports and claims are in one folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, entries: str, **shared: Any) -> None:
        self.looks = Looks(monkeypatch)
        file = folder / "clusters.yaml"
        shared = {"artifacts": str(folder / "artifacts"), **shared}
        file.write_text(f"defaults: {json.dumps(shared)}\n{entries}", encoding="utf-8")
        monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
        self.settings = {each.name: each for each in load_clusters()}
        self.monkeypatch = monkeypatch

    def look(self, name: str) -> Verdict | None:
        """What the gate of a cluster says now."""
        run = self.looks.run()
        run.name = f"{self.settings[name].dag_id}/run"
        return RightMoment(task_id="right_moment", cluster=self.settings[name]).verdict(run)

    def report(self, name: str, **figures: Any) -> None:
        now = datetime.now(UTC)
        settings = self.settings[name]
        known = {
            "run_id": "r", "dag_id": settings.dag_id, "run_after": now, "reported_at": now, "cluster": name,
            "read_only_seconds": 60.0, "outcome": Outcome.PRUNED,
        }  # fmt: skip
        keep_report(RunReport(**(known | figures)), settings.artifacts)


THREE = "berlin: {connection: b}\nmunich: {connection: m}\nhamburg: {connection: h}\n"


def test_no_more_clusters_than_allowed_get_their_turn_and_the_next_one_when_one_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Guards the claims: each is asked last, when nothing else is in the way."""
    fleet = Fleet(monkeypatch, tmp_path, THREE, windows_at_once=2)
    assert [fleet.look(name) for name in fleet.settings] == [None, None, None], "claimed, and not seen by all yet"
    monkeypatch.setattr(turn, "SEEN_AFTER", timedelta(0))
    seen = [fleet.look(name) for name in ("hamburg", "munich", "berlin", "hamburg")]
    assert [verdict and verdict.action for verdict in seen] == [None, Action.PRUNE, Action.PRUNE, None]
    release_turn(fleet.settings["munich"], f"{fleet.settings['munich'].dag_id}/run")
    verdict = fleet.look("hamburg")
    assert verdict is not None
    assert verdict.action is Action.PRUNE


def test_who_waits_for_something_else_or_too_long_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(turn, "SEEN_AFTER", timedelta(0))
    fleet = Fleet(monkeypatch, tmp_path, THREE, windows_at_once=1)
    assert fleet.look("berlin") is not None
    assert fleet.look("munich") is None
    fleet.looks.first_look = datetime.now(UTC) - timedelta(hours=1)
    verdict = fleet.look("munich")
    assert verdict is not None
    assert verdict.action is Action.SKIP
    assert "berlin (read-only)" in verdict.reasons[0]
    assert own_claim(fleet.settings["munich"]) is None, "its place is the next one's"


def test_where_the_claims_cannot_be_kept_no_window_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("no folder", encoding="utf-8")
    fleet = Fleet(monkeypatch, tmp_path, THREE, windows_at_once=1)
    assert fleet.look("berlin") is None


def test_a_cluster_goes_after_another_ones_window_of_the_day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch, tmp_path, "staging: {connection: s}\nprod: {connection: p, after: [staging]}\n")
    assert fleet.look("prod") is None, "not yet"
    fleet.report("staging", outcome=Outcome.FAILED)
    verdict = fleet.look("prod")
    assert verdict is not None
    assert verdict.action is Action.SKIP
    assert "cluster staging goes first (after), and its window of today did not end well" in verdict.reasons[0]
    fleet.report("staging")
    verdict = fleet.look("prod")
    assert verdict is not None
    assert verdict.action is Action.PRUNE
