"""What Airflow forgets of a task that was tried more than once, or failed: noted for the report.

Airflow hands on how long a task's last try took, and nothing of why one failed. All of it works in the task's own
process. A try that was killed from outside notes nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

log = logging.getLogger(__name__)

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
    """Keep how long this try took, which fails, for one that may follow.

    Called while the task still works: before Airflow calls ``on_retry_callback`` it gives the task instance another id,
    and the task's store is not found any more (seen on 3.3.2).
    """
    try:
        ti: Any = context["ti"]
        store: Any = context["task_state_store"]
        took = (datetime.now(UTC) - ti.start_date).total_seconds()
        store.set(EARLIER_SECONDS, round(float(store.get(EARLIER_SECONDS, 0.0)) + took, 3))
    except Exception as error:  # whatever Airflow's API says: the task's own error counts for more
        log.warning("How long this try took is not kept for the report: %s", error)


def told_once(alert: Callable[[Context], None]) -> Callable[[Context], None]:
    """For tries that fail and are followed by others: tell of the first one, at once, and of no other. A task that a
    person has cleared begins anew."""

    def tell(context: Context) -> None:
        ti: Any = context["ti"]
        # Clearing adds the task's retries to the number of the last try.
        if ti.try_number == ti.max_tries - ti.task.retries + 1:
            alert(context)

    return tell


def note_problem(context: Context) -> None:
    """Hand over why the task failed."""
    # PostgreSQL refuses a NUL.
    problem = str(context.get("exception") or "").replace("\0", "")
    if problem:
        context["ti"].xcom_push(PROBLEM, problem[:_PROBLEM_CHARACTERS])
