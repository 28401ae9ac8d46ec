"""The end of a run that met a fault: who closed its window, and whether what always has to hold does."""

from __future__ import annotations

import time
from contextlib import suppress

from kubernetes import client, config

from faults.arena.arena import Arena
from faults.fault import NEVER_HIT, Outcome
from sandbox.base.names import CLUSTER, CONFIGS, NAMESPACE

GUARD_LIMIT_SECONDS = 180.0
GUARD_PAUSE_SECONDS = 1.0

CONDITIONS = (
    "read-write", "lease gone", "no pruner", "one pruner", "images whole", "no push beside", "orphans gone",
    "report true", "as before", "green is true",
)  # fmt: skip
"""Registry read-write and settled; lease gone; no pruner alive; never two pruners at once; every image whole, by
digest; no push was accepted while a pruner deleted; of a run that ended well with a delete: what was orphaned is gone,
and its report counts as many blobs as went; everything else is as it was before the run; and no run ended as success
while the registry was read-only for somebody who is gone."""

Problems = list[str] | None
"""What is wrong, in words; None: nobody looked."""
_NOTHING_DELETED = ("not worth it", "dry run", "no hard prune", "postponed", "rejected")
"""Outcomes of a report that say of a run that it deleted nothing."""
_OBJECTS = (CONFIGS, "clusterrolebindings", "imagepruners", "pods", "jobs")


def conclude(arena: Arena, run: str) -> Outcome:
    """Where the run left the window open, let a guard close it; then look.

    :param run: state of the run, which has ended or will not get any further.
    """
    arena.await_api_server()
    false_green = _false_green(arena, run)
    closed_by = closed_by_run(arena)
    if arena.fault.clears_up is not None and run == "failed":
        arena.fault.clears_up(arena)
        closed_by = closed_by or "person"
    elif closed_by is None:
        _let_guard_close(arena)
        closed_by = "guard in the cluster" if arena.fault.in_cluster_guard else "guard"
    arena.close_elsewhere()
    run = arena.finish_run(run)
    false_green = false_green or _false_green(arena, run)
    remarks = list(arena.failures)
    if not arena.all_hit():
        remarks.append(NEVER_HIT)
    if arena.fault.closed_by not in (None, closed_by):
        remarks.append(f"it should have been closed by {arena.fault.closed_by}")
    if arena.fault.ends not in (None, run):
        remarks.append(f"the run should have ended as {arena.fault.ends}")
    arena.over.set()
    _delete_failed_pods(arena)
    with suppress(Exception):
        arena.sandbox.wait_until_settled(30)
    found = {**_look(arena, run), "green is true": false_green}
    asked = arena.fault.asked or frozenset(CONDITIONS)
    return Outcome(
        fault=arena.fault.what,
        point=arena.fault.point,
        run=run,
        closed_by=closed_by,
        conditions={name: _holds(found[name]) if name in asked else None for name in CONDITIONS},
        read_only_seconds=round(arena.clock.seconds, 1),
        seconds=round(time.monotonic() - arena.started, 1),
        remarks=(*remarks, *(each for name in CONDITIONS if name in asked for each in found[name] or ())),
    )


def _holds(problems: Problems) -> bool | None:
    return None if problems is None else not problems


def _false_green(arena: Arena, run: str) -> list[str]:
    """What is wrong with a run that ended as success, beside a registry that is read-only."""
    if run != "success" or not arena.read_only_wanted():
        return []
    lease = arena.lease()
    if lease is None:
        return ["the run ended as success, and the registry is read-only without a lease"]
    if not lease.expired and not arena.is_over(lease.holder):
        return []
    return [f"the run ended as success, and the registry is read-only for {lease.holder}, which is gone"]


def closed_by_run(arena: Arena) -> str | None:
    """``run`` if nothing is open (any more), ``-`` if nothing ever was; None if a window is."""
    if arena.lease() is not None or arena.read_only_wanted():
        return None
    return "run" if arena.clock.seconds else "-"


def _let_guard_close(arena: Arena) -> None:
    deadline = time.monotonic() + GUARD_LIMIT_SECONDS
    while time.monotonic() < deadline:
        if arena.fault.in_cluster_guard:
            arena.in_cluster_guard_round()
        else:
            arena.guard_round()
        if closed_by_run(arena) is not None:
            return
        time.sleep(GUARD_PAUSE_SECONDS)


def _delete_failed_pods(arena: Arena) -> None:
    """As a cluster's garbage collector does in the end."""
    api = client.CoreV1Api(config.new_client_from_config(str(arena.sandbox.kubeconfig)))
    for pod in arena.sandbox.registry_pods():
        if pod["status"].get("phase") == "Failed":
            api.delete_namespaced_pod(pod["metadata"]["name"], NAMESPACE)


def _look(arena: Arena, run: str) -> dict[str, Problems]:
    """By condition, what is wrong."""
    sandbox, pusher = arena.sandbox, arena.pusher
    pruners = sandbox.pruners_alive()
    journal = sandbox.pruner_journal()
    if pusher is not None:
        pusher.stop()
    problems = list(sandbox.verify().problems)
    cluster_problems = [each for each in problems if each.split("/")[0] in _OBJECTS or "still runs" in each]
    storage_problems = [each for each in problems if each not in cluster_problems]
    if lost := arena.named_once - sandbox.stored_digests():
        storage_problems.append(f"{len(lost)} blobs are gone that Images named until these were gone")
    writable_again = not arena.read_only_wanted() and sandbox.settled()
    if arena.elsewhere is not None:
        elsewhere = arena.elsewhere.verify().problems
        storage_problems += [f"elsewhere: {each}" for each in elsewhere if each.split("/")[0] not in _OBJECTS]
        config_elsewhere = arena.elsewhere.get_object(CONFIGS, CLUSTER)
        writable_again = writable_again and not config_elsewhere["spec"].get("readOnly")
    beside = [] if pusher is None else pusher.accepted_while(journal)
    writable = [each["pod"] for each in journal if each.get("mode") == "delete" and not each["read_only"]]
    pushed = [f"a delete ran in pods that took pushes: {', '.join(writable)}"] if writable else []
    if beside:
        pushed.append(f"{len(beside)} pushes were accepted while a pruner deleted, the first in {beside[0].pod}")
    most = sandbox.most_pruners_at_once()
    by_list = arena.fault.conf.get("delete_by") == "list"
    deleted = by_list or any(each.get("mode") == "delete" for each in journal)
    return {
        "read-write": _unless(writable_again, "the registry is not read-write"),
        "lease gone": _unless(arena.lease() is None, "the lease is there"),
        "no pruner": _unless(pruners == 0, f"{pruners} pruners live"),
        "one pruner": _unless(most <= 1, f"{most} pruners lived at once"),
        "images whole": storage_problems,
        "no push beside": None if pusher is None and not pushed else pushed,
        "orphans gone": _left(arena) if deleted and run == "success" else None,
        "report true": _untrue(arena) if arena.fault.asked or (deleted and run == "success") else None,
        "as before": cluster_problems,
    }


def _unless(holds: bool, problem: str) -> list[str]:
    return [] if holds else [problem]


def _left(arena: Arena) -> list[str]:
    left = arena.orphans & arena.sandbox.stored_digests()
    return [f"{len(left)} of {len(arena.orphans)} orphans are left"] if left else []


def _untrue(arena: Arena) -> Problems:
    """What the report says that is not so; None if there is no report.

    Of a run that was cleared or marked, it has to say what went in all of its windows. It may say that it does not
    know how many blobs these were, but not that there were none.
    """
    report = arena.report()
    if report is None:
        return None
    told, blobs = report["deleted_blobs"], arena.clock.blobs
    if not arena.fault.asked:
        gone = len(blobs.gone())
        return _unless(told == gone, f"the report says that {told} blobs were deleted, and {gone} went")
    gone, outcome = len(blobs.gone_in_any()), report["outcome"]
    if told is None and not (gone and outcome in _NOTHING_DELETED):
        return []
    return _unless((told or 0) == gone, f"the report says {outcome}, with {told} blobs deleted, and {gone} went")
