"""Do the tasks of a run share the place where its lists go? Asked before anything is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.configuration import conf
from airflow.sdk.exceptions import AirflowException

from include.registry_prune.lists.shared_place import (
    Mark,
    NotSharedError,
    PlaceError,
    leave_mark,
    require_mark,
    why_not_shared,
)
from include.registry_prune.settings.parameters import SettingsError

if TYPE_CHECKING:
    from include.registry_prune.run.run_context import Run

PLACE_MARK = "place_mark"
"""The XCom of the mark that ``verify_access`` leaves where the lists go."""


def mark_place(run: Run) -> None:
    """Leave a mark where the lists of this run go; see :func:`require_shared_place`.

    :raises SettingsError: if the settings alone say that tasks do not share that place.
    :raises AirflowException: if the place takes no file, and this run writes lists.
    """
    if not run.parameters.needs_role:
        return  # it looks into no storage, and so writes no list
    problem = why_not_shared(run.settings.artifacts, conf.get("core", "executor"))
    if problem:
        raise SettingsError(problem)
    try:
        mark = leave_mark(run.settings.artifacts, dag_id=run.dag_id, run_id=run.run_id, token=run.token)
    except PlaceError as error:
        raise AirflowException(str(error)) from error
    run.hand_over(mark, PLACE_MARK)


def require_shared_place(run: Run) -> None:
    """Before anything is begun: does this task see what ``verify_access`` wrote where the lists go?

    :raises SettingsError: if it does not: no other try is of use.
    :raises AirflowException: if that cannot be said.
    """
    mark = run.result("verify_access", Mark, PLACE_MARK)
    if mark is None:
        return
    try:
        require_mark(mark)
    except NotSharedError as error:
        raise SettingsError(str(error)) from error
    except PlaceError as error:
        raise AirflowException(str(error)) from error
