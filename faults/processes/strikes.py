"""What strikes a task of a real Airflow, and when: while the task is stopped, or when the cluster shows something."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from faults.arena.arena import Arena
from faults.processes.process_arena import ProcessArena
from faults.processes.real_airflow import DAG

Strike = Callable[[ProcessArena, str], object]
"""What happens; gets the arena and the task that it happens to."""

MID_WAIT, MID_WORK, MID_DELETE = "in mid-wait", "in mid-work", "in mid-delete"
SET, DRY, DELETE, RESTORE = "set_read_only", "dry_run", "hard_prune", "restore_read_write"
SHOWN: dict[tuple[str, str], Callable[[Arena], bool]] = {
    (SET, MID_WAIT): Arena.read_only_wanted,
    (DRY, MID_WORK): Arena.listing,
    (DELETE, MID_DELETE): Arena.deleting,
    (RESTORE, MID_WAIT): Arena.closing,
}
"""Points that are seen in the cluster; at the others the task is stopped."""


def at(task: str, moment: str, strike: Strike, *, held: bool = False) -> Callable[[ProcessArena], None]:
    """When the task comes to this point.

    :param held: it goes on only when the run's window is closed, if it still lives.
    """
    shown = SHOWN.get((task, moment))

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


def kill_task(arena: ProcessArena, task: str) -> None:
    """Kill -9 of the task's process."""
    arena.kill_task(task)


def kill_supervisor(arena: ProcessArena, task: str) -> None:
    """Kill -9 of the process that looks after the task."""
    arena.kill_supervisor(task)


def taken_away(name: str, seconds: float) -> Strike:
    """One of Airflow's processes is killed, and started again after that time."""
    return lambda arena, _task: arena.take_away(name, seconds)


def marked(state: str) -> Strike:
    """A person marks the task as success, failed or skipped."""
    return lambda arena, task: arena.airflow.api.mark_task(DAG, arena.run_id, task, state)


def mark_run_failed(arena: ProcessArena, _task: str) -> None:
    """A person marks the run as failed."""
    arena.airflow.api.mark_failed(DAG, arena.run_id)


def clear(arena: ProcessArena, task: str) -> None:
    """A person clears the task."""
    arena.airflow.api.clear(DAG, arena.run_id, task)


def pause(arena: ProcessArena, _task: str) -> None:
    """A person pauses the DAG."""
    arena.airflow.api.pause(DAG)


def pause_shortly(arena: ProcessArena, _task: str) -> None:
    """A person pauses the DAG for two seconds."""
    arena.airflow.api.pause(DAG)
    arena.pause(2)
    arena.airflow.api.unpause(DAG)


def airflow_killed(seconds: float | None = None) -> Strike:
    """All of Airflow is killed, and started again after that time, or when the window is closed."""
    return lambda arena, _task: arena.kill_airflow(seconds)


def instead(strike: Strike, task: str) -> Strike:
    """The same to another task than the one that has come to the point."""
    return lambda arena, _task: strike(arena, task)


def to_cluster(action: Callable[[Arena], object]) -> Strike:
    """What happens to the cluster when the task comes to the point."""
    return lambda arena, _task: action(arena)


def strike_and(strike: Strike, action: Callable[[Arena], object]) -> Strike:
    """Two things at once: one to the task, one to the cluster."""

    def act(arena: ProcessArena, task: str) -> None:
        strike(arena, task)
        action(arena)

    return act
