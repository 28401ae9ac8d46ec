"""The matrix: whatever a person does to whatever task of a run, while whatever has changed around it.

Every pair of a task and what is done to it, of that and a change, and of a task and a change stands in some row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from faults.arena.arena import Arena
from faults.arena.events import all_of, loses_images, loses_media_type, opens_another_window, starts_build
from faults.catalogue.pairwise import pairwise
from faults.catalogue.tasks_and_connections import EVERYTHING, OUTSIDE_TASKS, WINDOW_TASKS
from faults.fault import Fault
from faults.processes.points import BEFORE
from faults.processes.process_arena import ProcessArena
from faults.processes.strikes import DELETE, MID_DELETE, Strike, at, clear, instead, marked

ASKED = frozenset({"read-write", "one pruner", "images whole", "no push beside", "report true", "green is true"})
"""What must hold in every row. A run that somebody has marked need not have deleted its orphans, nor have put
everything back."""
RUN_SECONDS = 600.0

IN_ORDER = (*OUTSIDE_TASKS[:9], *WINDOW_TASKS, *OUTSIDE_TASKS[9:])
"""The tasks of a run."""
AFTER_THE_END = "cleared after the end"
MARKS: dict[str, Strike] = {
    AFTER_THE_END: clear,
    "cleared in mid-run": clear,
    "marked success": marked("success"),
    "marked failed": marked("failed"),
    "marked skipped": marked("skipped"),
}


def _nothing(_arena: Arena) -> None:
    pass


GONE = "Images gone"
ANOTHERS = "another run's window open"
NOT_LOOKED_AT = ("verify_restored", "report")
"""Where another run leaves its window behind at one of these, this run has had its last look, or a person has marked
the look itself: it may end well, and the guard closes that window."""
ELSEWHERE = "the connection points elsewhere"
CHANGES: dict[str, Callable[[ProcessArena], object]] = {
    "nothing changed": _nothing,
    "an Image lost its media type": loses_media_type,
    GONE: loses_images,
    "a build running": starts_build,
    ANOTHERS: opens_another_window,
    ELSEWHERE: ProcessArena.point_elsewhere,
}
BEFORE_THE_RUN: dict[str, Callable[[ProcessArena], object]] = {
    # Where Images go before the survey, and others come meanwhile, only a run before this one knows of them.
    GONE: ProcessArena.had_a_run_before,
    ELSEWHERE: ProcessArena.start_elsewhere,
}


def combinations() -> list[tuple[str, str, str]]:
    """Task, change, and what is done to the task."""
    return [(task, change, mark) for task, change, mark in pairwise([IN_ORDER, tuple(CHANGES), tuple(MARKS)])]


def matrix() -> Iterator[Fault[ProcessArena]]:
    """A row for each combination."""
    for task, change, mark in combinations():
        yield _row(task, change, mark)


def _row(task: str, change: str, mark: str) -> Fault[ProcessArena]:
    """The task meets the mark while it works; a clear in mid-run meets an earlier one, too, while the delete works."""
    later = mark == "cleared in mid-run" and IN_ORDER.index(task) < IN_ORDER.index(DELETE)
    where, moment = (DELETE, MID_DELETE) if later or task == DELETE else (task, BEFORE)
    strike = instead(_after_change(CHANGES[change], MARKS[mark]), task)
    prepares = _nothing if mark == AFTER_THE_END else at(where, moment, strike)
    return Fault(
        f"matrix, {task} {mark}",
        change,
        all_of(BEFORE_THE_RUN[change], prepares) if change in BEFORE_THE_RUN else prepares,
        slow_delete=mark != AFTER_THE_END and moment == MID_DELETE,
        conf={} if task in WINDOW_TASKS and not later else EVERYTHING,
        afterwards=(lambda arena: strike(arena, task)) if mark == AFTER_THE_END else None,
        asked=ASKED - {"green is true"} if change == ANOTHERS and task in NOT_LOOKED_AT else ASKED,
        run_seconds=RUN_SECONDS,
    )


def _after_change(change: Callable[[ProcessArena], object], mark: Strike) -> Strike:
    def act(arena: ProcessArena, task: str) -> None:
        change(arena)
        mark(arena, task)

    return act
