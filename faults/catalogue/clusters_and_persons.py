"""The faults that need no second process: pods, nodes, the operator, persons, and two faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from faults.arena.arena import LONG_LEASE, Arena
from faults.arena.events import (
    all_of,
    api_server_away,
    edits_deployment,
    end_comes,
    evict_a_pod,
    evict_pruner,
    guard_closes,
    leaves_window,
    loses_node,
    operator_dead,
    orders_api,
    orders_exec,
    removes_lease,
    resumes_image_pruner,
    sets_read_only,
    takes_over,
)
from faults.fault import Fault
from faults.in_process.moments import after, before, raises, when
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.server.faults import FaultRule

_NODE_SECONDS = 20.0
AS_SLOW_AS_REAL = {"replicas": 3, "nodes": 4, "container_start": 2.0, "pre_stop": 3.0, "grace": 6}
"""Pods that come after two seconds, and stay for some. Without the watch over the delete, pushes are accepted beside it
and torn."""


def cluster_events() -> Iterator[Fault[Arena]]:
    """Pods, nodes, and the operator."""
    yield Fault("pod evicted", "hard_prune, in mid-delete", when(Arena.deleting, evict_pruner), slow_delete=True)
    yield Fault("pod evicted", "set_read_only, in mid-wait", when(Arena.read_only_wanted, evict_a_pod))
    yield Fault("pod evicted", "dry_run, after its call", after("dry_run", evict_a_pod))
    yield Fault("pod evicted", "restore_read_write, in mid-wait", when(Arena.closing, evict_a_pod))
    lost = loses_node(_NODE_SECONDS)
    what = f"node lost for {_NODE_SECONDS:.0f} s, its pods go on"
    yield Fault(what, "set_read_only, in mid-wait", when(Arena.read_only_wanted, lost))
    yield Fault(what, "dry_run, after its call", after("dry_run", lost))
    yield Fault(what, "hard_prune, in mid-delete", when(Arena.deleting, lost), slow_delete=True)
    yield Fault(what, "restore_read_write, in mid-wait", when(Arena.closing, lost))
    yield Fault(
        f"node without power for {_NODE_SECONDS:.0f} s", "hard_prune, in mid-delete",
        when(Arena.deleting, loses_node(_NODE_SECONDS, power_off=True)), slow_delete=True,
    )  # fmt: skip
    for seconds, settings in ((5, {}), (60, {"settle_limit": "3m"}), (60, {"settle_limit": "20s"})):
        limit = f", limit {settings['settle_limit']}" if settings else ""
        for task in ("set_read_only", "restore_read_write"):
            yield Fault(
                f"operator dead for {seconds} s{limit}", f"{task}, before its call",
                before(task, operator_dead(seconds)), settings=settings,
            )  # fmt: skip

    for task, shown in (("set_read_only", Arena.read_only_wanted), ("restore_read_write", Arena.closing)):
        yield Fault(
            "operator dead for 60 s, limit 3m", f"{task}, in mid-wait", when(shown, operator_dead(60)),
            settings={"settle_limit": "3m"},
        )  # fmt: skip


def api_server() -> Iterator[Fault[Arena]]:
    """The cluster's API server is killed."""
    what = "cluster's API server killed, started after {} s"
    short = api_server_away(5)
    yield Fault(what.format(5), "set_read_only, in mid-wait", when(Arena.read_only_wanted, short))
    yield Fault(what.format(5), "dry_run, in mid-work", when(Arena.listing, short), slow_check=True)
    yield Fault(what.format(5), "restore_read_write, in mid-wait", when(Arena.closing, short))
    yield Fault(
        what.format(15), "hard_prune, in mid-delete", when(Arena.deleting, api_server_away(15)),
        slow_delete=True, delete_seconds=30, settings=LONG_LEASE, closed_by="run", ends="success",
    )  # fmt: skip


def closers() -> Iterator[Fault[Arena]]:
    """Two set about one window."""
    what = "guard closes the window at the same time"
    yield Fault(what, "hard_prune, in mid-delete", when(Arena.deleting, guard_closes), slow_delete=True)
    yield Fault(what, "restore_read_write, before its call", before("restore_read_write", guard_closes))
    yield Fault(what, "restore_read_write, in mid-wait", when(Arena.closing, guard_closes))
    yield Fault(
        "dead run's window and delete are there", "verify_access, before its call", leaves_window,
        slow_delete=True, settings=LONG_LEASE, closed_by="run", ends="success",
    )  # fmt: skip


def ends() -> Iterator[Fault[Arena]]:
    """The window's end comes in each of its tasks, while the run is alive and renews its lease."""
    moments: tuple[tuple[str, Callable[[Arena], None], dict[str, Any]], ...] = (
        ("set_read_only, in mid-wait", when(Arena.read_only_wanted, end_comes), {}),
        ("dry_run, in mid-work", when(Arena.listing, end_comes), {"slow_check": True}),
        ("blob_threshold, before its call", before("blob_threshold", end_comes), {}),
        ("hard_prune, in mid-delete", when(Arena.deleting, end_comes), {"slow_delete": True}),
        ("restore_read_write, in mid-wait", when(Arena.closing, end_comes), {}),
    )
    for point, strike, more in moments:
        yield Fault("the window's end comes", point, strike, settings=LONG_LEASE, **more)


def persons() -> Iterator[Fault[Arena]]:
    """Somebody changes the same objects."""
    writable = "person sets readOnly false"
    yield Fault(writable, "set_read_only, in mid-wait", when(Arena.read_only_wanted, sets_read_only(False)))
    yield Fault(writable, "dry_run, after its call", after("dry_run", sets_read_only(False)))
    yield Fault(
        writable, "hard_prune, in mid-delete", when(Arena.deleting, sets_read_only(False)),
        slow_delete=True, sandbox=AS_SLOW_AS_REAL,
    )  # fmt: skip
    yield Fault(
        "person edits the Deployment, operator Unmanaged for 15 s", "hard_prune, in mid-delete",
        when(Arena.deleting, edits_deployment(15)), slow_delete=True, sandbox=AS_SLOW_AS_REAL,
    )  # fmt: skip
    yield Fault(
        "person sets readOnly true first", "set_read_only, before its call",
        before("set_read_only", sets_read_only(True)), clears_up=sets_read_only(False), closed_by="person",
    )  # fmt: skip
    yield Fault(
        "person sets readOnly true again", "restore_read_write, in mid-wait",
        when(Arena.closing, sets_read_only(True)), clears_up=sets_read_only(False), closed_by="person",
    )  # fmt: skip
    removed = "person removes the lease"
    yield Fault(
        removed, "set_read_only, before its call", before("set_read_only", removes_lease),
        clears_up=resumes_image_pruner, closed_by="-",
    )  # fmt: skip
    yield Fault(removed, "set_read_only, in mid-wait", when(Arena.read_only_wanted, removes_lease), closed_by="run")
    yield Fault(removed, "hard_prune, before its call", before("hard_prune", removes_lease), closed_by="run")
    yield Fault(
        removed, "hard_prune, in mid-delete", when(Arena.deleting, removes_lease), slow_delete=True, closed_by="run"
    )
    yield Fault(
        removed, "restore_read_write, before its call", before("restore_read_write", removes_lease), closed_by="run"
    )
    yield Fault(
        "person takes the read-only registry over", "dry_run, after its call", after("dry_run", takes_over),
        clears_up=all_of(sets_read_only(False), resumes_image_pruner), closed_by="person",
    )  # fmt: skip
    yield Fault(
        "person resumes the ImagePruner", "hard_prune, in mid-delete", when(Arena.deleting, resumes_image_pruner),
        slow_delete=True,
    )  # fmt: skip


def pairs() -> Iterator[Fault[Arena]]:
    """Two faults in one run."""
    refused = orders_api(FaultRule(status=503, remaining=3))
    cut = orders_exec(ExecFault("abort", after_seconds=2.0, command="registry-prune looks"))
    silent = orders_exec(ExecFault("freeze", after_seconds=2.0, command="registry-prune looks"))
    no_search = orders_exec(ExecFault("refuse"))
    yield Fault(
        "exec cut abruptly, then exec refused", "hard_prune, in mid-delete; restore_read_write, at its search",
        all_of(before("hard_prune", cut), before("restore_read_write", no_search)), slow_delete=True,
    )  # fmt: skip
    yield Fault(
        "exec cut abruptly, then node lost for 20 s", "hard_prune, in mid-delete; restore_read_write, before its call",
        all_of(before("hard_prune", cut), before("restore_read_write", loses_node(_NODE_SECONDS))), slow_delete=True,
    )  # fmt: skip
    yield Fault(
        "exec frozen and person removes the lease", "hard_prune, in mid-delete",
        all_of(before("hard_prune", silent), when(Arena.deleting, removes_lease)), slow_delete=True,
    )  # fmt: skip
    yield Fault(
        "person sets readOnly false and API answers 503 to 3 requests", "hard_prune, in mid-delete",
        when(Arena.deleting, all_of(sets_read_only(False), refused)), slow_delete=True, sandbox=AS_SLOW_AS_REAL,
    )  # fmt: skip
    yield Fault(
        "person removes the lease, then sets readOnly false", "hard_prune, in mid-delete",
        when(Arena.deleting, all_of(removes_lease, sets_read_only(False))), slow_delete=True,
        sandbox=AS_SLOW_AS_REAL, clears_up=resumes_image_pruner,
    )  # fmt: skip
    yield Fault(
        "pod evicted and operator dead for 5 s", "hard_prune, in mid-delete",
        when(Arena.deleting, all_of(evict_pruner, operator_dead(5))), slow_delete=True,
    )  # fmt: skip
    yield Fault(
        "exception, then person removes the lease",
        "set_read_only, after its call; restore_read_write, before its call",
        all_of(after("set_read_only", raises), before("restore_read_write", removes_lease)), closed_by="run",
    )  # fmt: skip
    yield Fault(
        "exec cut abruptly, then exception in every try",
        "hard_prune, in mid-delete; restore_read_write, before its call",
        all_of(before("hard_prune", cut), before("restore_read_write", raises, always=True)),
        slow_delete=True, in_cluster_guard=True, closed_by="guard in the cluster",
    )  # fmt: skip


def cluster_faults() -> list[Fault[Arena]]:
    """All of them."""
    return [*cluster_events(), *api_server(), *closers(), *ends(), *persons(), *pairs()]
