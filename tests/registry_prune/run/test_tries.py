"""What a task notes of its tries for the report: Airflow keeps neither why one failed nor how long the first took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.run_context import Run
from include.registry_prune.run.tries import EARLIER_SECONDS, PROBLEM, note_earlier_tries, note_problem, note_try
from include.registry_prune.settings.clusters import ClusterSettings


class Store(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


class Task:
    """A task instance whose XComs are those of its present try."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.store = Store()
        self.start_date = datetime.now(UTC)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def begin(self, seconds_ago: float) -> None:
        self.xcoms.clear()
        self.start_date = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        note_earlier_tries(self.context())

    def context(self, exception: Exception | None = None) -> Any:
        return {"ti": self, "task_state_store": self.store, "exception": exception}


def test_the_seconds_of_all_earlier_tries_are_added_up() -> None:
    task = Task()
    task.begin(seconds_ago=40)
    assert task.xcoms == {}
    note_try(task.context())
    task.begin(seconds_ago=30)
    assert round(task.xcoms[EARLIER_SECONDS]) == 40
    note_try(task.context())
    task.begin(seconds_ago=0)
    assert round(task.xcoms[EARLIER_SECONDS]) == 70


class Failing(RegistryOperator):
    def work(self, run: Run) -> None:
        raise ClusterError("the API server cannot be reached")


def test_a_try_that_fails_is_noted_while_the_task_still_works() -> None:
    """Guards the moment: when Airflow calls on_retry_callback, the task's store is not found any more."""
    task = Task()
    task.begin(seconds_ago=40)
    context = {**task.context(), "dag_run": SimpleNamespace(dag_id="dag"), "run_id": "run"}
    with pytest.raises(AirflowException, match="cannot be reached"):
        Failing(task_id="failing", cluster=ClusterSettings()).execute(context)  # type: ignore[arg-type]
    assert round(task.store[EARLIER_SECONDS]) == 40


def test_what_cannot_be_noted_hides_no_error_of_the_task() -> None:
    note_try({})


def test_a_task_says_why_it_failed() -> None:
    task = Task()
    note_problem(task.context(ValueError("the registry is\0not settled")))
    assert task.xcoms == {PROBLEM: "the registry isnot settled"}


def test_a_task_that_was_ended_without_a_word_says_nothing() -> None:
    task = Task()
    note_problem(task.context())
    assert task.xcoms == {}
