"""What Airflow forgets of a task that was tried more than once, or failed: noted for the report.

Airflow hands on how long a task's last try took, and nothing of why one failed. These are callbacks of every task of a
run; they work in the task's own process. A try that was killed from outside notes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

PROBLEM = "problem"
"""The XCom in which a task that failed says why: text."""
EARLIER_SECONDS = "earlier_seconds"
"""The XCom, and the key of the task's store, with the seconds that its earlier tries took."""
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


def note_problem(context: Context) -> None:
    """Hand over why the task failed."""
    # PostgreSQL refuses a NUL.
    problem = str(context.get("exception") or "").replace("\0", "")
    if problem:
        context["ti"].xcom_push(PROBLEM, problem[:_PROBLEM_CHARACTERS])
