"""The two halves of a start, the sandbox and Airflow, when one of them does not get there."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from local_airflow.clusters.kubeconfig import ChosenCluster
from local_airflow.commands.stack import Stack, StackOptions
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.environment import KubernetesConnection
from local_airflow.instance.processes import ProcessIdentity
from local_airflow.instance.state import StateFolder
from local_airflow.interruption import Interrupted, Interruption
from local_airflow.terminal import Terminal


class Halves:
    """Stands in for both: each does what the test says where the real one takes its time."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox: Callable[[], object] = lambda: None
        self.airflow: Callable[[], object] = lambda: None
        monkeypatch.setattr(stack.sandbox, "prepare", self._prepare)
        monkeypatch.setattr(stack.airflow, "create_database", self._create_database)
        monkeypatch.setattr(stack.airflow, "start_processes", self._start_processes)

    def _prepare(self, seed_arguments: Sequence[str]) -> str:
        self.sandbox()
        return "300 images"

    def _create_database(self) -> None:
        self.airflow()

    def _start_processes(self) -> list[ProcessIdentity]:
        raise LocalAirflowError("Airflow's processes were started")


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    with Interruption() as one:
        yield one


@pytest.fixture
def stack(tmp_path: Path, state_root: Path, interruption: Interruption) -> Stack:
    state_root.mkdir()
    options = StackOptions(project=tmp_path, dags_folder=tmp_path)
    return Stack(options, StateFolder(state_root), interruption, Terminal(io.StringIO()))


@pytest.fixture
def halves(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Halves:
    return Halves(stack, monkeypatch)


def fail(message: str) -> NoReturn:
    raise LocalAirflowError(message)


def test_a_sandbox_that_fails_ends_the_start_of_airflow_and_is_what_is_reported(
    stack: Stack, halves: Halves, interruption: Interruption
) -> None:
    halves.sandbox = lambda: fail("the seed failed")
    halves.airflow = lambda: interruption.wait(60)
    with pytest.raises(LocalAirflowError, match="the seed failed"):
        stack.start(background=False)


def test_an_airflow_that_fails_ends_the_start_of_the_sandbox_and_is_what_is_reported(
    stack: Stack, halves: Halves, interruption: Interruption
) -> None:
    halves.sandbox = lambda: interruption.wait(60)
    halves.airflow = lambda: fail("the database failed")
    with pytest.raises(LocalAirflowError, match="the database failed"):
        stack.start(background=False)


def test_ctrl_c_ends_both(stack: Stack, halves: Halves, interruption: Interruption) -> None:
    def interrupted_while_waiting() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        interruption.wait(60)

    halves.sandbox = lambda: interruption.wait(60)
    halves.airflow = interrupted_while_waiting
    with pytest.raises(Interrupted, match="SIGINT"):
        stack.start(background=False)


class KnownAirflow:
    """Stands in for the REST API of an Airflow whose DAG was read at this start or an earlier one."""

    def __init__(self, url: str, password: str | None) -> None:
        self.asked_since: datetime | None = None

    def knows_dag(self, dag_id: str, parsed_since: datetime | None = None) -> bool:
        self.asked_since = parsed_since
        return True

    def parameter_choices(self, dag_id: str, parameter: str) -> list[str]:
        return ["orphan_share", "earlier_runs"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stack]:
    """A stack whose processes need no starting."""

    def make(stack: Stack, cut_off: Sequence[str] = ()) -> Stack:
        monkeypatch.setattr(stack.sandbox, "prepare", lambda seed_arguments: "")
        monkeypatch.setattr(stack.airflow, "create_database", lambda: list(cut_off))
        monkeypatch.setattr(stack.airflow, "start_processes", list)
        monkeypatch.setattr(stack.airflow, "wait_until_healthy", lambda: None)
        monkeypatch.setattr(stack.airflow, "warm_up", lambda: None)
        monkeypatch.setattr("local_airflow.commands.stack.AirflowApi", KnownAirflow)
        return stack

    return make


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def passing(tmp_path: Path, state_root: Path, interruption: Interruption, screen: io.StringIO) -> Callable[..., Stack]:
    """A stack for a run that is to pass these ceilings; on a real cluster if its address is given."""
    state_root.mkdir()

    def make(*ceilings: str, address: str = "") -> Stack:
        cluster = ChosenCluster(KubernetesConnection("/kubeconfig"), "east", address) if address else None
        parameters = {"pass_ceilings": list(ceilings)} if ceilings else {}
        options = StackOptions(project=tmp_path, dags_folder=tmp_path, cluster=cluster, parameters=parameters)
        return Stack(options, StateFolder(state_root), interruption, Terminal(screen))

    return make


def test_a_ceiling_that_does_not_exist_is_refused_with_those_that_do(
    started: Callable[..., Stack], passing: Callable[..., Stack]
) -> None:
    with pytest.raises(
        LocalAirflowError, match=r"no ceiling orphan_shar; the ceilings are: orphan_share, earlier_runs$"
    ):
        started(passing("earlier_runs", "orphan_shar")).start(background=False)


def test_ceilings_that_exist_are_passed(started: Callable[..., Stack], passing: Callable[..., Stack]) -> None:
    started(passing("earlier_runs", "orphan_share")).start(background=False)


def test_a_dag_that_is_only_remembered_is_not_triggered(
    started: Callable[..., Stack], passing: Callable[..., Stack]
) -> None:
    begun = datetime.now(UTC)
    api = started(passing()).start(background=False)
    assert isinstance(api, KnownAirflow)
    assert api.asked_since is not None
    assert api.asked_since >= begun


def test_runs_that_were_cut_off_are_told_with_what_becomes_of_their_window(
    started: Callable[..., Stack], passing: Callable[..., Stack], screen: io.StringIO
) -> None:
    started(passing(), ["manual__1"]).start(background=False)
    assert "It is marked failed, and nothing goes on with it: manual__1." in screen.getvalue()
    assert "If it left a read-only window open, the guard in the cluster closes it" in screen.getvalue()


def test_where_the_record_of_a_real_cluster_is_kept_is_said(
    started: Callable[..., Stack], passing: Callable[..., Stack], state_root: Path
) -> None:
    real = started(passing(address="api.east:6443"))
    assert real.kept_text() is None, "before anything is there"
    real.start(background=False)
    told = real.kept_text()
    assert told is not None
    assert f"history of api.east:6443 are kept in {state_root} (" in told


def test_of_a_sandbox_nothing_is_said_to_be_kept(started: Callable[..., Stack], passing: Callable[..., Stack]) -> None:
    sandbox = started(passing())
    sandbox.start(background=False)
    assert sandbox.kept_text() is None
