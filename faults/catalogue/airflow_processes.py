"""The faults that are about Airflow's own processes, and about what persons do in Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from faults.arena.arena import LONG_LEASE
from faults.arena.events import evict_pruner, loses_node, operator_dead, orders_exec, removes_lease, sets_read_only
from faults.catalogue.tasks_and_connections import EVERYTHING
from faults.fault import Fault
from faults.processes.points import AFTER, BEFORE
from faults.processes.process_arena import ProcessArena
from faults.processes.strikes import (
    DELETE,
    DRY,
    MID_DELETE,
    MID_WAIT,
    MID_WORK,
    RESTORE,
    SET,
    Strike,
    airflow_killed,
    at,
    clear,
    kill_supervisor,
    kill_task,
    mark_run_failed,
    marked,
    pause,
    pause_shortly,
    strike_and,
    taken_away,
)
from sandbox.kubelet.exec_faults import ExecFault

IN_WINDOW = (
    ("arm_window", AFTER), (SET, MID_WAIT), (SET, AFTER), (DRY, AFTER), ("blob_threshold", BEFORE),
    (DELETE, MID_DELETE), (DELETE, AFTER), (RESTORE, MID_WAIT), (RESTORE, AFTER),
)  # fmt: skip
AROUND_CALLS = (
    (SET, BEFORE), (DELETE, BEFORE), (RESTORE, BEFORE), ("arm_window", BEFORE), (DRY, BEFORE), (DRY, MID_WORK),
    ("blob_threshold", AFTER),
)  # fmt: skip
"""More points in the window, for what ends a task's process and leaves Airflow alone."""
BEFORE_WINDOW = (
    ("verify_access", BEFORE), ("base_prune", AFTER), ("restart_registry", BEFORE), ("grant_image_pruner", AFTER),
    ("survey", BEFORE), ("survey_gate", BEFORE), ("integrity_before", BEFORE), ("approve_window", BEFORE),
    ("right_moment", BEFORE),
)  # fmt: skip
AFTER_WINDOW = (
    ("reconcile", BEFORE), ("integrity_after", BEFORE), ("revoke_image_pruner", AFTER), ("verify_restored", BEFORE),
    ("remove_deleted", BEFORE),
    ("report", BEFORE),
)  # fmt: skip
WHOLE_RUN = tuple((task, moment) for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW) if moment != AFTER)


def _one(what: str, task: str, moment: str, strike: Strike, **options: Any) -> Fault[ProcessArena]:
    inside = task in {inside for inside, _ in IN_WINDOW}
    return Fault(
        what, f"{task}, {moment}", at(task, moment, strike), slow_delete=moment == MID_DELETE,
        slow_check=moment == MID_WORK, **{"conf": {} if inside else EVERYTHING, **options},
    )  # fmt: skip


def _in_turn(what: str, where: str, points: Sequence[tuple[str, str]], strike: Strike) -> Fault[ProcessArena]:
    """One run in which each of these tasks meets the fault: where none of them ends the run."""

    def prepare(arena: ProcessArena) -> None:
        for task, moment in points:
            at(task, moment, strike)(arena)

    return Fault(what, where, prepare, conf=EVERYTHING, slow_delete=(DELETE, MID_DELETE) in points)


_GOES_ON: Mapping[str, Any] = {
    "settings": LONG_LEASE, "delete_seconds": 60.0, "closed_by": "run", "ends": "success",
}  # fmt: skip
"""The run itself has to find its delete again, while it still works, before anybody takes the run for gone."""
OUTSIDE = "each task outside of the window"


def killed() -> Iterator[Fault[ProcessArena]]:
    """Kill -9 of tasks and of their supervisors."""
    for task, moment in (*IN_WINDOW, *AROUND_CALLS):
        yield _one("kill -9 of the task", task, moment, kill_task)
    yield _in_turn("kill -9 of the task", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), kill_task)
    what = "kill -9 of the task's supervisor"
    for task, moment in IN_WINDOW:
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one(what, task, moment, kill_supervisor, **goes_on)
    for task, moment in AROUND_CALLS:
        yield _one(what, task, moment, kill_supervisor, settings=LONG_LEASE)
    for task in (SET, DELETE, RESTORE):
        # What is left of the task wakes up when nothing of the window is its own any more.
        held = at(task, BEFORE, kill_supervisor, held=True)
        wakes = f"{what}, the task goes on when the window is closed"
        yield Fault(wakes, f"{task}, {BEFORE}", held, settings=LONG_LEASE)
    yield _in_turn(what, "each task up to the survey", BEFORE_WINDOW[:5], kill_supervisor)
    yield _in_turn(what, "each task from there to the window", BEFORE_WINDOW[5:], kill_supervisor)
    yield _in_turn(what, "each task after the window", AFTER_WINDOW, kill_supervisor)


def away() -> Iterator[Fault[ProcessArena]]:
    """Airflow's parts are gone for a while."""
    short = "kill -9 of the scheduler, restart after 3 s"
    for task, moment in IN_WINDOW:
        yield _one(short, task, moment, taken_away("scheduler", 3))
    yield _in_turn(short, OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), taken_away("scheduler", 3))
    for task, moment in ((SET, AFTER), (DELETE, MID_DELETE), (RESTORE, MID_WAIT)):
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one("kill -9 of the scheduler, restart after 40 s", task, moment, taken_away("scheduler", 40), **goes_on)
    triggerer = "kill -9 of the triggerer, restart after 3 s"
    yield _in_turn(triggerer, "each task", WHOLE_RUN, taken_away("triggerer", 3))
    gone = "api-server away for 45 s"
    for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW):
        # Each by itself: before the window it uses up a task's retries, and so ends the run.
        yield _one(gone, task, moment, taken_away("api-server", 45), **(_GOES_ON if moment == MID_DELETE else {}))


def persons() -> Iterator[Fault[ProcessArena]]:
    """What is clicked in Airflow."""
    for what, strike in (("task marked failed", marked("failed")), ("run marked failed", mark_run_failed)):
        for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW):
            yield _one(what, task, moment, strike)
    for task, moment in AROUND_CALLS:
        yield _one("task marked failed", task, moment, marked("failed"))
    for task, moment in IN_WINDOW:
        yield _one("task cleared", task, moment, clear)
    yield _in_turn("task cleared", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), clear)
    for task, moment in IN_WINDOW:
        yield _one("DAG paused, un-paused when the window is closed", task, moment, pause)
    yield _in_turn("DAG paused, un-paused after 2 s", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), pause_shortly)


def dead() -> Iterator[Fault[ProcessArena]]:
    """All of Airflow is gone."""
    for task, moment in IN_WINDOW:
        yield _one(
            "all of Airflow killed, restart when the window is closed",
            task,
            moment,
            airflow_killed(),
            in_cluster_guard=True,
        )
    for task, moment in ((SET, AFTER), (DELETE, MID_DELETE)):
        yield _one(
            "all of Airflow killed for good, its lease is long, the window's end comes",
            task,
            moment,
            airflow_killed(),
            in_cluster_guard=True,
            settings={**LONG_LEASE, "window_limit": "60s"},
        )
    for task, moment in ((SET, AFTER), (DELETE, MID_DELETE)):
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one("all of Airflow killed, restart after 15 s", task, moment, airflow_killed(15), **goes_on)


def pairs() -> Iterator[Fault[ProcessArena]]:
    """Two faults in one run."""
    frozen = orders_exec(ExecFault("freeze", command="/proc"))
    for what, task, moment, strike, options in (
        ("api-server away for 45 s and person sets readOnly false", DELETE, MID_DELETE,
         strike_and(taken_away("api-server", 45), sets_read_only(False)), {}),
        ("kill -9 of the scheduler for 40 s and pod evicted", DELETE, MID_DELETE,
         strike_and(taken_away("scheduler", 40), evict_pruner), {"settings": LONG_LEASE}),
        ("kill -9 of the task and person removes the lease", DELETE, MID_DELETE,
         strike_and(kill_task, removes_lease), {"closed_by": "run"}),
        ("kill -9 of the task and operator dead for 20 s", SET, MID_WAIT, strike_and(kill_task, operator_dead(20)), {}),
        ("kill -9 of the supervisor and the next search for pruners frozen", DELETE, MID_DELETE,
         strike_and(kill_supervisor, frozen), {"settings": LONG_LEASE}),
        ("all of Airflow killed and node lost for 20 s", DELETE, MID_DELETE,
         strike_and(airflow_killed(), loses_node(20)), {"in_cluster_guard": True}),
        ("all of Airflow killed and pod evicted", DELETE, MID_DELETE,
         strike_and(airflow_killed(), evict_pruner), {"in_cluster_guard": True}),
    ):  # fmt: skip
        yield _one(what, task, moment, strike, **options)


def deferred() -> Iterator[Fault[ProcessArena]]:
    """A delete that is followed by the triggerer, and by no task's process."""
    settings: Mapping[str, Any] = {"defer_after": "0s"}
    goes_on = {**_GOES_ON, "settings": {**LONG_LEASE, **settings}}
    for what, strike, options in (
        ("kill -9 of the triggerer, restart after 3 s", taken_away("triggerer", 3), goes_on),
        ("kill -9 of the triggerer, restart after 40 s", taken_away("triggerer", 40), goes_on),
        ("kill -9 of the scheduler, restart after 40 s", taken_away("scheduler", 40), goes_on),
        ("api-server away for 45 s", taken_away("api-server", 45), goes_on),
        ("all of Airflow killed, restart after 15 s", airflow_killed(15), goes_on),
        ("task marked failed", marked("failed"), {"settings": settings}),
        ("run marked failed", mark_run_failed, {"settings": settings}),
        ("task cleared", clear, {"settings": settings}),
        ("DAG paused, un-paused when the window is closed", pause, {"settings": settings}),
    ):
        yield _one(what + ", delete deferred", DELETE, MID_DELETE, strike, **options)


def process_faults() -> list[Fault[ProcessArena]]:
    """All of them."""
    return [*killed(), *away(), *persons(), *dead(), *pairs(), *deferred()]
