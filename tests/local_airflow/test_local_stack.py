"""The two halves of a start, the sandbox and Airflow, when one of them does not get there."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.interruption import Interrupted, Interruption
from local_airflow.processes import ProcessIdentity
from local_airflow.stack import Stack, StackOptions
from local_airflow.state import StateFolder
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
