"""The faults that are about Airflow's own processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from faults.arena import Arena
from faults.fault import Fault
from faults.processes import DAG, ProcessArena

Condition = Callable[[ProcessArena], bool]
Action = Callable[[ProcessArena], object]
_POINTS: tuple[tuple[str, Condition, bool], ...] = (
    ("set_read_only, in mid-wait", Arena.read_only_wanted, False),
    ("hard_prune, in mid-delete", Arena.deleting, True),
    ("restore_read_write, in mid-wait", Arena.closing, False),
)


def _when(condition: Condition, action: Action) -> Callable[[ProcessArena], None]:
    return lambda arena: arena.meanwhile(lambda: condition(arena), lambda: action(arena))


def _kill_task(arena: ProcessArena) -> None:
    killed = arena.airflow.task_processes()
    assert killed, "no task's process was found"
    for process in killed:
        process.kill()


def _kill_supervisor(arena: ProcessArena) -> None:
    killed = arena.airflow.task_processes(supervisors=True)
    assert killed, "no supervisor was found"
    for process in killed:
        process.kill()


def _away(name: str, seconds: float) -> Action:
    def act(arena: ProcessArena) -> None:
        arena.airflow.kill(name)
        arena.pause(seconds)
        arena.airflow.start(name)

    return act


def _mark_failed(arena: ProcessArena) -> None:
    arena.airflow.api.mark_failed(DAG, arena.run_id)


def _clear(arena: ProcessArena) -> None:
    arena.airflow.api.clear(DAG, arena.run_id, "hard_prune")


def _pause(arena: ProcessArena) -> None:
    arena.airflow.api.pause(DAG)


def _at_points(what: str, action: Action) -> Iterator[Fault[ProcessArena]]:
    for point, condition, slow in _POINTS:
        yield Fault(what, point, _when(condition, action), slow_delete=slow)


def process_faults() -> list[Fault[ProcessArena]]:
    """All of them."""
    in_delete = ("hard_prune, in mid-delete", Arena.deleting)
    singles = [
        Fault(what, in_delete[0], _when(in_delete[1], action), slow_delete=True)
        for what, action in (
            ("kill -9 of the task's supervisor", _kill_supervisor),
            ("kill -9 of the scheduler, restart after 3 s", _away("scheduler", 3)),
            ("kill -9 of the scheduler, restart after 40 s", _away("scheduler", 40)),
            ("kill -9 of the triggerer, restart after 3 s", _away("triggerer", 3)),
            ("api-server away for 45 s", _away("api-server", 45)),
            ("task cleared", _clear),
        )
    ]
    return [
        *singles,
        *_at_points("DAG paused, un-paused when the window is closed", _pause),
        *_at_points("kill -9 of the task", _kill_task),
        *_at_points("run marked failed", _mark_failed),
    ]
