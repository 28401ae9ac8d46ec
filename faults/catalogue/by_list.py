"""The faults of the delete by the list: its pod, its storage, and who closes its window meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from faults.arena.arena import LONG_LEASE, Arena
from faults.arena.events import (
    Action,
    all_of,
    api_server_away,
    end_comes,
    guard_closes,
    leaves_window,
    loses_list_node,
    operator_dead,
    orders_storage,
    removes_lease,
    sets_read_only,
    slow_bucket,
)
from faults.catalogue.clusters_and_persons import AS_SLOW_AS_REAL
from faults.fault import Fault
from faults.in_process.moments import Prepare, before, raises, when
from include.registry_prune.names import EXACT_DELETE_POD
from sandbox.object_storage.faults import StoreFault

_BY_LIST: dict[str, Any] = {"conf": {"delete_by": "list"}}
_IMAGE = {"small_image": "registry.test/registry-prune-small:1"}
_BUCKET: dict[str, Any] = {"storage": "s3", "real_registry": False}
_AT_WORK_SECONDS = 2.0
"""That each request to the bucket takes: the delete is at work for some of them."""
_NODE_SECONDS = 20.0


def _row(what: str, point: str, prepare: Prepare, **more: Any) -> Fault[Arena]:
    settings = {**_IMAGE, **more.pop("settings", {})}
    return Fault(f"by the list: {what}", point, prepare, settings=settings, **_BY_LIST, **more)


def _at_work(what: str, action: Action, **more: Any) -> Fault[Arena]:
    """While the bucket's answer is waited for."""
    slow: Callable[[Arena], None] = all_of(
        before("hard_prune", slow_bucket(_AT_WORK_SECONDS)),
        when(Arena.deleting_by_list, all_of(action, slow_bucket(0))),
    )
    return _row(what, "hard_prune, in mid-delete", slow, sandbox=_BUCKET, **more)


def _evicted(arena: Arena) -> None:
    arena.sandbox.evict(EXACT_DELETE_POD)


def pods() -> Iterator[Fault[Arena]]:
    """Its pod, its node, the cluster."""
    goes_on = {"settings": LONG_LEASE, "closed_by": "run"}
    yield _at_work("pod evicted", _evicted, ends="success", **goes_on)
    yield _at_work("pod deleted", Arena.delete_list_pod, ends="success", **goes_on)
    yield _at_work(f"node lost for {_NODE_SECONDS:.0f} s", loses_list_node(_NODE_SECONDS), **goes_on)
    yield _at_work(
        f"node without power for {_NODE_SECONDS:.0f} s", loses_list_node(_NODE_SECONDS, power_off=True), **goes_on
    )
    yield _at_work("cluster's API server killed, started after 5 s", api_server_away(5), ends="success", **goes_on)
    yield _row("exception", "hard_prune, before its call", before("hard_prune", raises), ends="success", **goes_on)
    yield _row(
        "operator dead for 5 s", "restore_read_write, before its call", before("restore_read_write", operator_dead(5))
    )


def others() -> Iterator[Fault[Arena]]:
    """Persons, guards, and runs that are gone."""
    writable = "person sets readOnly false"
    yield _at_work(writable, sets_read_only(False), ends="failed")
    yield _row(
        writable, "hard_prune, before its call", before("hard_prune", sets_read_only(False)), sandbox=AS_SLOW_AS_REAL
    )
    yield _at_work("person removes the lease", removes_lease, closed_by="run")
    yield _at_work("guard closes the window at the same time", guard_closes)
    yield _row(
        "guard closes the window at the same time", "hard_prune, before its call", before("hard_prune", guard_closes)
    )
    yield _at_work("the window's end comes", end_comes, settings=LONG_LEASE)
    yield _row(
        "dead run's window and documented delete are there", "verify_access, before its call", leaves_window,
        slow_delete=True, settings=LONG_LEASE, closed_by="run", ends="success",
    )  # fmt: skip


def storages() -> Iterator[Fault[Arena]]:
    """The bucket answers wrongly, or not whole."""
    of_batch = "DeleteObjects"
    busy = {
        "answers 503 to 3 batches": StoreFault(of_batch, times=3),
        "answers 500 to 2 batches": StoreFault(of_batch, status=500, code="InternalError", times=2),
        "refuses half of a batch, as busy": StoreFault(of_batch, effect="half"),
        "cuts the answer to a batch": StoreFault(of_batch, effect="cut"),
    }
    for what, fault in busy.items():
        yield _row(
            f"bucket {what}", "hard_prune, in mid-delete", before("hard_prune", orders_storage(fault)),
            sandbox=_BUCKET, ends="success",
        )  # fmt: skip
    denied = {
        "answers 403 to every batch": StoreFault(of_batch, status=403, code="AccessDenied", times=None),
        "refuses half of each batch, for good": StoreFault(of_batch, effect="half", code="AccessDenied", times=None),
    }
    for what, fault in denied.items():
        yield _row(
            f"bucket {what}", "hard_prune, in mid-delete", before("hard_prune", orders_storage(fault)),
            sandbox=_BUCKET, ends="failed", closed_by="run",
        )  # fmt: skip


def list_faults() -> list[Fault[Arena]]:
    """All of them."""
    return [*pods(), *others(), *storages()]
