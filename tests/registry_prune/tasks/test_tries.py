"""What a task notes of its tries for the report: Airflow keeps neither why one failed nor how long the first took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.tasks.tries import EARLIER_SECONDS, PROBLEM, note_earlier_tries, note_problem, note_try


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


def test_a_task_says_why_it_failed() -> None:
    task = Task()
    note_problem(task.context(ValueError("the registry is\0not settled")))
    assert task.xcoms == {PROBLEM: "the registry isnot settled"}


def test_a_task_that_was_ended_without_a_word_says_nothing() -> None:
    task = Task()
    note_problem(task.context())
    assert task.xcoms == {}
