"""When a fault hits a run in this process: before a task's call, after it, or when the cluster shows something."""

from __future__ import annotations

import threading
from collections.abc import Callable

from faults.arena.arena import Arena
from faults.arena.events import Action

Prepare = Callable[[Arena], None]


class OrderedError(Exception):
    """What a task raises because the sweep wants it to."""


def raises(_arena: Arena) -> None:
    """An exception in the task."""
    raise OrderedError("ordered by the fault sweep")


def before(task: str, action: Action, *, always: bool = False) -> Prepare:
    """Before the task's work.

    :param always: in each of its tries, not only in the first.
    """
    return lambda arena: arena.before.update({task: _noted(arena, action, always=always)})


def after(task: str, action: Action) -> Prepare:
    """After the work of the task's first try, before Airflow knows of its end."""
    return lambda arena: arena.after.update({task: _noted(arena, action, always=False)})


def when(condition: Callable[[Arena], bool], action: Action) -> Prepare:
    """As soon as a condition is true."""
    return lambda arena: arena.meanwhile(lambda: condition(arena), lambda: action(arena))


def _noted(arena: Arena, action: Action, *, always: bool) -> Callable[[], None]:
    reached = threading.Event()
    arena.hits(reached.is_set)

    def act() -> None:
        if reached.is_set() and not always:
            return
        reached.set()
        action(arena)

    return act
