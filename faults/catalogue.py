"""The faults that need no second process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from faults.arena import Arena
from faults.fault import Fault
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.server.faults import FaultRule

WINDOW_TASKS = ("arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune", "restore_read_write")
STATUSES = (401, 403, 409, 429, 500, 503)
_REFUSED_REQUESTS = 3
_DEAD_SECONDS = 5.0


class OrderedError(Exception):
    """What a task raises because the sweep wants it to."""


def _once(action: Callable[[], object]) -> Callable[[], None]:
    """For a task with retries: only its first try meets it."""
    met = threading.Event()

    def act() -> None:
        if not met.is_set():
            met.set()
            action()

    return act


def _raise() -> None:
    raise OrderedError("ordered by the fault sweep")


def _before(task: str, action: Callable[[Arena], object], *, always: bool = False) -> Callable[[Arena], None]:
    def prepare(arena: Arena) -> None:
        reached = threading.Event()
        arena.hits(reached.is_set)

        def act() -> None:
            reached.set()
            action(arena)

        arena.before[task] = act if always else _once(act)

    return prepare


def _after(task: str, action: Callable[[Arena], object]) -> Callable[[Arena], None]:
    def prepare(arena: Arena) -> None:
        reached = threading.Event()
        arena.hits(reached.is_set)

        def act() -> None:
            reached.set()
            action(arena)

        arena.after[task] = _once(act)

    return prepare


def _when(condition: Callable[[Arena], bool], action: Callable[[Arena], object]) -> Callable[[Arena], None]:
    return lambda arena: arena.meanwhile(lambda: condition(arena), lambda: action(arena))


def exceptions() -> Iterator[Fault[Arena]]:
    """An exception before each task's work and after it."""
    for task in (*WINDOW_TASKS, "revoke_image_pruner", "verify_restored"):
        yield Fault("exception", f"{task}, before its call", _before(task, lambda _arena: _raise()))
        yield Fault("exception", f"{task}, after its call", _after(task, lambda _arena: _raise()))
    yield Fault(
        "exception in every try", "restore_read_write, before its call",
        _before("restore_read_write", lambda _arena: _raise(), always=True),
    )  # fmt: skip


def api_answers() -> Iterator[Fault[Arena]]:
    """The API server refuses some requests of each task in the window."""
    for task in WINDOW_TASKS:
        for status in STATUSES:
            rule = FaultRule(status=status, remaining=_REFUSED_REQUESTS)
            yield Fault(
                f"API answers {status} to {_REFUSED_REQUESTS} requests", f"{task}, from its first call",
                _before(task, _order(rule)),
            )  # fmt: skip
    for status in (401, 503):
        rule = FaultRule(status=status, remaining=_REFUSED_REQUESTS)
        what = f"API answers {status} to {_REFUSED_REQUESTS} requests"
        yield Fault(what, "set_read_only, in mid-wait", _when(Arena.read_only_wanted, _order(rule)))
        yield Fault(what, "hard_prune, in mid-delete", _when(Arena.deleting, _order(rule)), slow_delete=True)
        yield Fault(what, "restore_read_write, in mid-wait", _when(Arena.closing, _order(rule)))
    lost = FaultRule(verb="patch", resource="configs", remaining=1, drop_after=True)
    for task in ("arm_window", "set_read_only", "hard_prune", "restore_read_write"):
        yield Fault("patch carried out, answer lost", f"{task}, at its first patch", _before(task, _order(lost)))
        yield Fault("API answers a second late", f"{task}, from its first call", _before(task, _order(_LATE)))


_LATE = FaultRule(delay_before_seconds=1.0, remaining=12)
_CUT = FaultRule(verb="watch", cut_watch_after_events=1, remaining=6)


def _order(rule: FaultRule) -> Callable[[Arena], None]:
    return lambda arena: arena.order_api(rule)


def connections() -> Iterator[Fault[Arena]]:
    """Watches and execs that are cut."""
    for task in ("set_read_only", "restore_read_write"):
        yield Fault("watches cut after an event", f"{task}, in mid-wait", _before(task, _order(_CUT)))
    effects: tuple[Any, ...] = ("close", "abort")
    for effect in effects:
        how = "properly, without an exit status" if effect == "close" else "abruptly"
        check = ExecFault(effect, after_bytes=1, command="-prune=check")
        delete = ExecFault(effect, after_seconds=2.0, command="registry-prune looks")
        last = ExecFault(effect, at_exit=True, command="registry-prune looks")
        what = f"exec cut {how}"
        yield Fault(what, "dry_run, in mid-work", _before("dry_run", _exec(check)))
        yield Fault(what, "hard_prune, in mid-delete", _before("hard_prune", _exec(delete)), slow_delete=True)
        yield Fault(what, "hard_prune, at its end", _before("hard_prune", _exec(last)))
    yield Fault(
        "exec refused", "restore_read_write, at its search for pruners",
        _before("restore_read_write", _exec(ExecFault("refuse"))),
    )  # fmt: skip


def _exec(fault: ExecFault) -> Callable[[Arena], None]:
    return lambda arena: arena.order_exec(fault)


def _evict(arena: Arena) -> None:
    journal = [each for each in arena.sandbox.pruner_journal() if each.get("mode") == "delete"]
    arena.sandbox.evict(journal[-1]["pod"])


def _dead_operator(arena: Arena) -> None:
    arena.sandbox.stop_operator()
    timer = threading.Timer(_DEAD_SECONDS, arena.sandbox.start_operator)
    timer.daemon = True
    timer.start()


def cluster_events() -> Iterator[Fault[Arena]]:
    """Pods and the operator."""
    yield Fault("pod evicted", "hard_prune, in mid-delete", _when(Arena.deleting, _evict), slow_delete=True)
    what = f"operator dead for {_DEAD_SECONDS:.0f} s"
    yield Fault(what, "set_read_only, before its call", _before("set_read_only", _dead_operator))
    yield Fault(what, "restore_read_write, before its call", _before("restore_read_write", _dead_operator))


def _write_again(arena: Arena) -> None:
    arena.sandbox.configure_registry(readOnly=False)


def _read_only_again(arena: Arena) -> None:
    """Somebody insists on read-only, once, while it is being put back."""
    arena.sandbox.configure_registry(readOnly=True)


def _remove_lease(arena: Arena) -> None:
    arena.admin.patch_config({"metadata": {"annotations": {"registry-prune/lease": None}}})


def _as_verify_restored_says(arena: Arena) -> None:
    arena.sandbox.configure_registry(readOnly=False)
    arena.admin.suspend_image_pruner(False)


_AS_SLOW_AS_REAL = {"replicas": 3, "nodes": 4, "container_start": 2.0, "pre_stop": 3.0, "grace": 6}
"""Pods that come after two seconds, and stay for some. Without the watch over the delete, pushes are accepted beside it
and torn."""


def persons() -> Iterator[Fault[Arena]]:
    """Somebody changes the same objects."""
    yield Fault(
        "person sets readOnly false", "set_read_only, in mid-wait", _when(Arena.read_only_wanted, _write_again)
    )  # fmt: skip
    yield Fault(
        "person sets readOnly false", "dry_run, after its call", _after("dry_run", _write_again)
    )  # fmt: skip
    yield Fault(
        "person sets readOnly false", "hard_prune, in mid-delete", _when(Arena.deleting, _write_again),
        slow_delete=True, sandbox=_AS_SLOW_AS_REAL,
    )  # fmt: skip
    yield Fault(
        "person sets readOnly true again", "restore_read_write, in mid-wait",
        _when(Arena.closing, _read_only_again), clears_up=_write_again,
    )  # fmt: skip
    for point, prepare, slow in (
        ("set_read_only, before its call", _before("set_read_only", _remove_lease), False),
        ("hard_prune, before its call", _before("hard_prune", _remove_lease), False),
        ("hard_prune, in mid-delete", _when(Arena.deleting, _remove_lease), True),
    ):
        yield Fault("person removes the lease", point, prepare, slow_delete=slow, clears_up=_as_verify_restored_says)


def in_process_faults() -> list[Fault[Arena]]:
    """All of them."""
    return [*exceptions(), *api_answers(), *connections(), *cluster_events(), *persons()]
