"""What several steps of a run do: a dry run looks what is in the way before its pruner begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.pruner import checks
from include.registry_prune.records import Record
from include.registry_prune.run.base import CandidateList
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.window import in_the_way
from tests.registry_prune.tasks.test_window_binding import BegunError, PlayedContext


class Listed(CandidateList):
    def work(self, run: Run) -> Record:
        return self.list_candidates(run)


def steps_of_a_dry_run(monkeypatch: pytest.MonkeyPatch, artifacts: Path, found: list[str]) -> list[str]:
    """What a dry run does up to its pruner, which ends it.

    :param found: in the way.
    """
    steps: list[str] = []

    def look(*_: object, **__: object) -> list[str]:
        steps.append("look")
        return found

    def begin(*_: object, **__: object) -> None:
        steps.append("pruner")
        raise BegunError

    monkeypatch.setattr(in_the_way, "in_the_way", look)
    monkeypatch.setattr(checks, "end_leftovers", lambda *_, **__: steps.append("own leftovers ended"))
    monkeypatch.setattr(checks, "choose_pod", lambda state: "pod")
    monkeypatch.setattr(checks, "run_dry_run", begin)
    monkeypatch.setattr(Run, "cluster", SimpleNamespace(server="s", registry_state=lambda: None))
    context: Any = PlayedContext("survey", {})
    with pytest.raises((BegunError, AirflowException)) as error:
        Listed(task_id="survey", cluster=ClusterSettings(artifacts=artifacts.as_uri())).execute(context)
    if error.type is not BegunError:
        assert "This run starts no pruner: A pruner is at work" in str(error.value)
        assert not isinstance(error.value, AirflowFailException), "what is in the way may pass"
    return steps


def test_a_dry_run_begins_only_when_nothing_is_in_its_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards the survey's own look: hours may have passed since verify_access, and two pruners end each other. A
    dry run of an earlier try is this task's own, and is ended before it."""
    own, look = "own leftovers ended", "look"
    assert steps_of_a_dry_run(monkeypatch, tmp_path, []) == [own, look, "pruner"]
    assert steps_of_a_dry_run(monkeypatch, tmp_path, ["A pruner is at work."]) == [own, look]
