"""The faults that are about Airflow's own processes, and about what persons do in Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from faults.arena import LONG_LEASE, Arena
from faults.catalogue import EVERYTHING
from faults.events import evict_pruner, loses_node, operator_dead, orders_exec, removes_lease, sets_read_only
from faults.fault import Fault
from faults.points import AFTER, BEFORE
from faults.process_arena import DAG, ProcessArena
from sandbox.kubelet.exec_faults import ExecFault

Strike = Callable[[ProcessArena, str], object]
"""What happens; gets the arena and the task that it happens to."""

MID_WAIT, MID_WORK, MID_DELETE = "in mid-wait", "in mid-work", "in mid-delete"
SET, DRY, DELETE, RESTORE = "set_read_only", "dry_run", "hard_prune", "restore_read_write"
_SHOWN: dict[tuple[str, str], Callable[[Arena], bool]] = {
    (SET, MID_WAIT): Arena.read_only_wanted,
    (DRY, MID_WORK): Arena.listing,
    (DELETE, MID_DELETE): Arena.deleting,
    (RESTORE, MID_WAIT): Arena.closing,
}
"""Points that are seen in the cluster; at the others the task is stopped."""

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
    ("report", BEFORE),
)  # fmt: skip
WHOLE_RUN = tuple((task, moment) for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW) if moment != AFTER)


def _at(task: str, moment: str, strike: Strike, *, held: bool = False) -> Callable[[ProcessArena], None]:
    """When the task comes to this point.

    :param held: it goes on only when the run's window is closed, if it still lives.
    """
    shown = _SHOWN.get((task, moment))

    def prepare(arena: ProcessArena) -> None:
        if shown is not None:
            arena.meanwhile(partial(shown, arena), partial(strike, arena, task))
            return
        arena.points.order(task, moment)

        def act() -> None:
            try:
                if held:
                    arena.strike_and_wake(task, moment, partial(strike, arena, task))
                else:
                    strike(arena, task)
            finally:
                arena.points.release(task, moment)

        arena.meanwhile(partial(arena.points.reached, task, moment), act)

    return prepare


def _one(what: str, task: str, moment: str, strike: Strike, **options: Any) -> Fault[ProcessArena]:
    inside = task in {inside for inside, _ in IN_WINDOW}
    return Fault(
        what, f"{task}, {moment}", _at(task, moment, strike), slow_delete=moment == MID_DELETE,
        slow_check=moment == MID_WORK, **{"conf": {} if inside else EVERYTHING, **options},
    )  # fmt: skip


def _in_turn(what: str, where: str, points: Sequence[tuple[str, str]], strike: Strike) -> Fault[ProcessArena]:
    """One run in which each of these tasks meets the fault: where none of them ends the run."""

    def prepare(arena: ProcessArena) -> None:
        for task, moment in points:
            _at(task, moment, strike)(arena)

    return Fault(what, where, prepare, conf=EVERYTHING, slow_delete=(DELETE, MID_DELETE) in points)


def _kill_task(arena: ProcessArena, task: str) -> None:
    arena.kill_task(task)


def _kill_supervisor(arena: ProcessArena, task: str) -> None:
    arena.kill_supervisor(task)


def _away(name: str, seconds: float) -> Strike:
    return lambda arena, _task: arena.take_away(name, seconds)


def _mark_task(arena: ProcessArena, task: str) -> None:
    arena.airflow.api.mark_task_failed(DAG, arena.run_id, task)


def _mark_run(arena: ProcessArena, _task: str) -> None:
    arena.airflow.api.mark_failed(DAG, arena.run_id)


def _clear(arena: ProcessArena, task: str) -> None:
    arena.airflow.api.clear(DAG, arena.run_id, task)


def _pause(arena: ProcessArena, _task: str) -> None:
    arena.airflow.api.pause(DAG)


def _pause_shortly(arena: ProcessArena, _task: str) -> None:
    arena.airflow.api.pause(DAG)
    arena.pause(2)
    arena.airflow.api.unpause(DAG)


def _dies(seconds: float | None = None) -> Strike:
    return lambda arena, _task: arena.kill_airflow(seconds)


def _and(strike: Strike, action: Callable[[Arena], object]) -> Strike:
    def act(arena: ProcessArena, task: str) -> None:
        strike(arena, task)
        action(arena)

    return act


_GOES_ON: Mapping[str, Any] = {
    "settings": LONG_LEASE, "delete_seconds": 60.0, "closed_by": "run", "ends": "success",
}  # fmt: skip
"""The run itself has to find its delete again, while it still works, before anybody takes the run for gone."""
OUTSIDE = "each task outside of the window"


def killed() -> Iterator[Fault[ProcessArena]]:
    """Kill -9 of tasks and of their supervisors."""
    for task, moment in (*IN_WINDOW, *AROUND_CALLS):
        yield _one("kill -9 of the task", task, moment, _kill_task)
    yield _in_turn("kill -9 of the task", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), _kill_task)
    what = "kill -9 of the task's supervisor"
    for task, moment in IN_WINDOW:
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one(what, task, moment, _kill_supervisor, **goes_on)
    for task, moment in AROUND_CALLS:
        yield _one(what, task, moment, _kill_supervisor, settings=LONG_LEASE)
    for task in (SET, DELETE, RESTORE):
        # What is left of the task wakes up when nothing of the window is its own any more.
        held = _at(task, BEFORE, _kill_supervisor, held=True)
        wakes = f"{what}, the task goes on when the window is closed"
        yield Fault(wakes, f"{task}, {BEFORE}", held, settings=LONG_LEASE)
    yield _in_turn(what, "each task up to the survey", BEFORE_WINDOW[:5], _kill_supervisor)
    yield _in_turn(what, "each task from there to the window", BEFORE_WINDOW[5:], _kill_supervisor)
    yield _in_turn(what, "each task after the window", AFTER_WINDOW, _kill_supervisor)


def away() -> Iterator[Fault[ProcessArena]]:
    """Airflow's parts are gone for a while."""
    short = "kill -9 of the scheduler, restart after 3 s"
    for task, moment in IN_WINDOW:
        yield _one(short, task, moment, _away("scheduler", 3))
    yield _in_turn(short, OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), _away("scheduler", 3))
    for task, moment in ((SET, AFTER), (DELETE, MID_DELETE), (RESTORE, MID_WAIT)):
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one("kill -9 of the scheduler, restart after 40 s", task, moment, _away("scheduler", 40), **goes_on)
    triggerer = "kill -9 of the triggerer, restart after 3 s"
    yield _in_turn(triggerer, "each task", WHOLE_RUN, _away("triggerer", 3))
    gone = "api-server away for 45 s"
    for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW):
        # Each by itself: before the window it uses up a task's retries, and so ends the run.
        yield _one(gone, task, moment, _away("api-server", 45), **(_GOES_ON if moment == MID_DELETE else {}))


def persons() -> Iterator[Fault[ProcessArena]]:
    """What is clicked in Airflow."""
    for what, strike in (("task marked failed", _mark_task), ("run marked failed", _mark_run)):
        for task, moment in (*BEFORE_WINDOW, *IN_WINDOW, *AFTER_WINDOW):
            yield _one(what, task, moment, strike)
    for task, moment in AROUND_CALLS:
        yield _one("task marked failed", task, moment, _mark_task)
    for task, moment in IN_WINDOW:
        yield _one("task cleared", task, moment, _clear)
    yield _in_turn("task cleared", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), _clear)
    for task, moment in IN_WINDOW:
        yield _one("DAG paused, un-paused when the window is closed", task, moment, _pause)
    yield _in_turn("DAG paused, un-paused after 2 s", OUTSIDE, (*BEFORE_WINDOW, *AFTER_WINDOW), _pause_shortly)


def dead() -> Iterator[Fault[ProcessArena]]:
    """All of Airflow is gone."""
    for task, moment in IN_WINDOW:
        yield _one(
            "all of Airflow killed, restart when the window is closed", task, moment, _dies(), in_cluster_guard=True
        )
    for task, moment in ((SET, AFTER), (DELETE, MID_DELETE)):
        goes_on = _GOES_ON if moment == MID_DELETE else {}
        yield _one("all of Airflow killed, restart after 15 s", task, moment, _dies(15), **goes_on)


def pairs() -> Iterator[Fault[ProcessArena]]:
    """Two faults in one run."""
    frozen = orders_exec(ExecFault("freeze", command="/proc"))
    for what, task, moment, strike, options in (
        ("api-server away for 45 s and person sets readOnly false", DELETE, MID_DELETE,
         _and(_away("api-server", 45), sets_read_only(False)), {}),
        ("kill -9 of the scheduler for 40 s and pod evicted", DELETE, MID_DELETE,
         _and(_away("scheduler", 40), evict_pruner), {"settings": LONG_LEASE}),
        ("kill -9 of the task and person removes the lease", DELETE, MID_DELETE,
         _and(_kill_task, removes_lease), {"closed_by": "run"}),
        ("kill -9 of the task and operator dead for 20 s", SET, MID_WAIT, _and(_kill_task, operator_dead(20)), {}),
        ("kill -9 of the supervisor and the next search for pruners frozen", DELETE, MID_DELETE,
         _and(_kill_supervisor, frozen), {"settings": LONG_LEASE}),
        ("all of Airflow killed and node lost for 20 s", DELETE, MID_DELETE,
         _and(_dies(), loses_node(20)), {"in_cluster_guard": True}),
        ("all of Airflow killed and pod evicted", DELETE, MID_DELETE,
         _and(_dies(), evict_pruner), {"in_cluster_guard": True}),
    ):  # fmt: skip
        yield _one(what, task, moment, strike, **options)


def deferred() -> Iterator[Fault[ProcessArena]]:
    """A delete that is followed by the triggerer, and by no task's process."""
    settings: Mapping[str, Any] = {"defer_after": "0s"}
    goes_on = {**_GOES_ON, "settings": {**LONG_LEASE, **settings}}
    for what, strike, options in (
        ("kill -9 of the triggerer, restart after 3 s", _away("triggerer", 3), goes_on),
        ("kill -9 of the triggerer, restart after 40 s", _away("triggerer", 40), goes_on),
        ("kill -9 of the scheduler, restart after 40 s", _away("scheduler", 40), goes_on),
        ("api-server away for 45 s", _away("api-server", 45), goes_on),
        ("all of Airflow killed, restart after 15 s", _dies(15), goes_on),
        ("task marked failed", _mark_task, {"settings": settings}),
        ("run marked failed", _mark_run, {"settings": settings}),
        ("task cleared", _clear, {"settings": settings}),
        ("DAG paused, un-paused when the window is closed", _pause, {"settings": settings}),
    ):
        yield _one(what + ", delete deferred", DELETE, MID_DELETE, strike, **options)


def process_faults() -> list[Fault[ProcessArena]]:
    """All of them."""
    return [*killed(), *away(), *persons(), *dead(), *pairs(), *deferred()]
