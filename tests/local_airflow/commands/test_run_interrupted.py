"""Ctrl-C on a real cluster: the run is ended through Airflow, which may be slow to answer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_airflow.commands import run as module
from local_airflow.commands.progress import RunFollower
from local_airflow.commands.run import _Run
from local_airflow.commands.stack import StackOptions
from local_airflow.instance.rest import AirflowApi, ApiUnavailableError
from local_airflow.instance.state import StateFolder
from local_airflow.interruption import Interruption
from local_airflow.terminal import Terminal


class BusyApi(AirflowApi):
    """Does not answer the first requests to end the run."""

    def __init__(self, unanswered: int) -> None:
        self.unanswered = unanswered
        self.marked: list[str] = []

    def mark_failed(self, dag_id: str, run_id: str) -> None:
        if self.unanswered:
            self.unanswered -= 1
            raise ApiUnavailableError("read timed out")
        self.marked.append(run_id)


class Ended(RunFollower):
    """Follows a run whose teardowns are done at once."""

    def __init__(self) -> None: ...

    def follow(self) -> str:
        return "failed"


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def interrupted(
    tmp_path: Path, state_root: Path, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> Iterator[_Run]:
    """A run that somebody ends with Ctrl-C."""
    monkeypatch.setattr(_Run, "_report", lambda *_: True)
    with Interruption() as interruption:
        options = StackOptions(project=tmp_path, dags_folder=tmp_path)
        running = _Run(options, StateFolder(state_root), interruption, Terminal(screen))
        interruption.request(2)
        yield running


def test_an_airflow_that_is_busy_is_asked_again_to_end_the_run(interrupted: _Run, screen: io.StringIO) -> None:
    api = BusyApi(unanswered=3)
    interrupted._leave_cluster_in_order(api, "manual__1", Ended())
    assert api.marked == ["manual__1"]
    assert "warning" not in screen.getvalue()


def test_one_that_never_answers_is_given_up_with_a_way_to_close_the_window(
    interrupted: _Run, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_WITH_API_SECONDS", 0.0)
    interrupted._leave_cluster_in_order(BusyApi(unanswered=1_000), "manual__1", Ended())
    assert "teardowns did not come to their end: read timed out" in screen.getvalue()
    assert "If it is, the guard in the cluster closes it" in screen.getvalue()
