"""The faults that need no second process: exceptions, the API server, connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faults.arena.arena import Arena
from faults.arena.events import orders_api, orders_exec
from faults.catalogue.by_list import list_faults
from faults.catalogue.clusters_and_persons import cluster_faults
from faults.fault import Fault
from faults.in_process.moments import after, before, raises, when
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.server.faults import FaultRule

WINDOW_TASKS = ("arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune", "restore_read_write")
OUTSIDE_TASKS = (
    "verify_access", "base_prune", "restart_registry", "grant_image_pruner", "survey", "survey_gate",
    "integrity_before", "approve_window", "right_moment",
    "reconcile", "integrity_after", "revoke_image_pruner", "verify_restored", "remove_deleted",
    "report",
)  # fmt: skip
STATUSES = (401, 403, 409, 429, 500, 503)
EVERYTHING: dict[str, Any] = {"base_prune": True, "survey": True, "integrity_check": True}
"""For a run in which every task has work to do."""
_REFUSED_REQUESTS = 3
_LATE = FaultRule(delay_before_seconds=1.0, remaining=12)
_CUT = FaultRule(verb="watch", cut_watch_after_events=1, remaining=6)
_OWN_PATCHES = (
    ("arm_window", "the patch of its lease", "lease"),
    ("set_read_only", "its patch of readOnly", '"readOnly": ?true'),
    ("hard_prune", "the patch that names its attempt", "attempt"),
    ("restore_read_write", "its patch of readOnly", '"readOnly": ?false'),
)
"""By task: the patch that matters, and what it alone sends; a task renews its lease before it."""
_SILENT = "API answers a second late"


def exceptions() -> Iterator[Fault[Arena]]:
    """An exception before each task's work and after it."""
    for task in (*WINDOW_TASKS, *OUTSIDE_TASKS):
        conf = {} if task in WINDOW_TASKS else EVERYTHING
        yield Fault("exception", f"{task}, before its call", before(task, raises), conf=conf)
        yield Fault("exception", f"{task}, after its call", after(task, raises), conf=conf)
    for guard in ("guard", "guard in the cluster"):
        yield Fault(
            f"exception in every try, {guard}", "restore_read_write, before its call",
            before("restore_read_write", raises, always=True),
            in_cluster_guard=guard != "guard", closed_by=guard,
        )  # fmt: skip


def api_answers() -> Iterator[Fault[Arena]]:
    """The API server refuses some requests of each task, answers late, or carries out and is not heard."""
    for task in (*WINDOW_TASKS, "grant_image_pruner", "revoke_image_pruner"):
        for status in STATUSES:
            yield Fault(_refusal(status), f"{task}, from its first call", before(task, orders_api(_rule(status))))
    for task in (
        "verify_access", "base_prune", "survey", "integrity_before", "right_moment", "reconcile", "integrity_after",
        "verify_restored",
    ):  # fmt: skip
        for status in (401, 503):
            yield Fault(
                _refusal(status), f"{task}, from its first call", before(task, orders_api(_rule(status))),
                conf=EVERYTHING,
            )  # fmt: skip
    for status in STATUSES:
        order = orders_api(_rule(status))
        yield Fault(_refusal(status), "set_read_only, in mid-wait", when(Arena.read_only_wanted, order))
        yield Fault(_refusal(status), "hard_prune, in mid-delete", when(Arena.deleting, order), slow_delete=True)
        yield Fault(_refusal(status), "restore_read_write, in mid-wait", when(Arena.closing, order))
    for task in WINDOW_TASKS:
        yield Fault(_SILENT, f"{task}, from its first call", before(task, orders_api(_LATE)))
    for task, point, sent in _OWN_PATCHES:
        lost = FaultRule(verb="patch", resource="configs", body=sent, remaining=1, drop_after=True)
        yield Fault("patch carried out, answer lost", f"{task}, at {point}", before(task, orders_api(lost)))


def _rule(status: int) -> FaultRule:
    return FaultRule(status=status, remaining=_REFUSED_REQUESTS)


def _refusal(status: int) -> str:
    return f"API answers {status} to {_REFUSED_REQUESTS} requests"


def connections() -> Iterator[Fault[Arena]]:
    """Watches and execs that are cut."""
    for task in ("set_read_only", "restore_read_write"):
        yield Fault("watches cut after an event", f"{task}, in mid-wait", before(task, orders_api(_CUT)))
    yield Fault(
        "watches cut after an event", "hard_prune, in mid-delete", before("hard_prune", orders_api(_CUT)),
        slow_delete=True,
    )  # fmt: skip
    yield Fault(
        "watches cut after an event", "restart_registry, in mid-wait", before("restart_registry", orders_api(_CUT)),
        conf=EVERYTHING,
    )  # fmt: skip
    effects: tuple[Any, ...] = ("close", "abort", "freeze")
    how = {"close": "exec cut properly, without an exit status", "abort": "exec cut abruptly", "freeze": "exec frozen"}
    for effect in effects:
        check = orders_exec(ExecFault(effect, after_bytes=1, command="-prune=check"))
        delete = orders_exec(ExecFault(effect, after_seconds=2.0, command="registry-prune looks"))
        last = orders_exec(ExecFault(effect, at_exit=True, command="registry-prune looks"))
        yield Fault(how[effect], "dry_run, in mid-work", before("dry_run", check))
        yield Fault(how[effect], "survey, in mid-work", before("survey", check), conf=EVERYTHING)
        integrity = orders_exec(ExecFault(effect, at_exit=True, command="check-database"))
        yield Fault(how[effect], "integrity_before, at its end", before("integrity_before", integrity), conf=EVERYTHING)
        yield Fault(how[effect], "hard_prune, in mid-delete", before("hard_prune", delete), slow_delete=True)
        yield Fault(how[effect], "hard_prune, at its end", before("hard_prune", last))
    for task in ("dry_run", "hard_prune"):
        yield Fault("exec refused", f"{task}, at its first", before(task, orders_exec(ExecFault("refuse"))))
    for what, effect in (("exec refused", "refuse"), ("exec frozen", "freeze")):
        yield Fault(
            what, "restore_read_write, at its search for pruners",
            before("restore_read_write", orders_exec(ExecFault(effect))),  # type: ignore[arg-type]
        )  # fmt: skip


def in_process_faults() -> list[Fault[Arena]]:
    """All of them."""
    return [*exceptions(), *api_answers(), *connections(), *cluster_faults(), *list_faults()]
