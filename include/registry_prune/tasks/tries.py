"""What Airflow forgets of a task that was tried more than once, or failed: noted for the report.

Airflow hands on how long a task's last try took, and nothing of why one failed. These are callbacks of every task of a
run; they work in the task's own process. A try that was killed from outside notes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

PROBLEM = "problem"
"""The XCom in which a task that failed says why: text."""
EARLIER_SECONDS = "earlier_seconds"
"""The XCom, and the key of the task's store, with the seconds that its earlier tries took."""
TOLD = "told"
"""The key of the task's store: somebody was told of a try that failed."""
_PROBLEM_CHARACTERS = 2_000


def note_earlier_tries(context: Context) -> None:
    """Hand on how long the tries before this one took: a try begins without the XComs of the one before."""
    seconds = context["task_state_store"].get(EARLIER_SECONDS)
    if seconds:
        context["ti"].xcom_push(EARLIER_SECONDS, seconds)


def note_try(context: Context) -> None:
    """Keep how long this try took, which failed and will be followed by another."""
    ti: Any = context["ti"]
    store: Any = context["task_state_store"]
    took = (datetime.now(UTC) - ti.start_date).total_seconds()
    store.set(EARLIER_SECONDS, round(float(store.get(EARLIER_SECONDS, 0.0)) + took, 3))


def told_once(alert: Callable[[Context], None]) -> Callable[[Context], None]:
    """For tries that fail and are followed by others: tell of the first one, at once, and of no other until the task
    has ended; see :func:`told_at_last`."""

    def tell(context: Context) -> None:
        store: Any = context["task_state_store"]
        if store.get(TOLD):
            return
        alert(context)
        # After it: told twice is better than not at all.
        store.set(TOLD, True)

    return tell


def told_at_last(alert: Callable[[Context], None], *, always: bool) -> Callable[[Context], None]:
    """For the end of a task: tell of it. If the task is cleared later, its first try that fails is told again.

    :param always: tell of the end also where no try that failed was told.
    """

    def tell(context: Context) -> None:
        store: Any = context["task_state_store"]
        told = store.get(TOLD)
        if told or always:
            alert(context)
        if told:
            store.set(TOLD, False)

    return tell


def note_problem(context: Context) -> None:
    """Hand over why the task failed."""
    # PostgreSQL refuses a NUL.
    problem = str(context.get("exception") or "").replace("\0", "")
    if problem:
        context["ti"].xcom_push(PROBLEM, problem[:_PROBLEM_CHARACTERS])
