"""The end of a run that met a fault: who closed its window, and whether what always has to hold does."""

from __future__ import annotations

import time
from contextlib import suppress

from kubernetes import client, config

from faults.arena.arena import Arena
from faults.fault import NEVER_HIT, Outcome
from include.registry_prune.window.config_lease import read_lease
from sandbox.base.names import CONFIGS, NAMESPACE

GUARD_LIMIT_SECONDS = 180.0
GUARD_PAUSE_SECONDS = 1.0

CONDITIONS = (
    "read-write", "lease gone", "no pruner", "one pruner", "images whole", "no push beside", "orphans gone",
    "report true", "as before",
)  # fmt: skip
"""Registry read-write and settled; lease gone; no pruner alive; never two pruners at once; every image whole, by
digest; no push was accepted while a pruner deleted; of a run that ended well with a delete: what was orphaned is gone,
and its report counts as many blobs as went; and everything else is as it was before the run."""

_OBJECTS = (CONFIGS, "clusterrolebindings", "imagepruners", "pods", "jobs")


def conclude(arena: Arena, run: str) -> Outcome:
    """Where the run left the window open, let a guard close it; then look.

    :param run: state of the run, which has ended or will not get any further.
    """
    arena.await_api_server()
    closed_by = closed_by_run(arena)
    if arena.fault.clears_up is not None and run == "failed":
        arena.fault.clears_up(arena)
        closed_by = closed_by or "person"
    elif closed_by is None:
        _let_guard_close(arena)
        closed_by = "guard in the cluster" if arena.fault.in_cluster_guard else "guard"
    run = arena.finish_run(run)
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
    conditions, problems = _look(arena, run)
    return Outcome(
        fault=arena.fault.what,
        point=arena.fault.point,
        run=run,
        closed_by=closed_by,
        conditions=conditions,
        read_only_seconds=round(arena.clock.seconds, 1),
        seconds=round(time.monotonic() - arena.started, 1),
        remarks=tuple(remarks + problems),
    )


def closed_by_run(arena: Arena) -> str | None:
    """``run`` if nothing is open (any more), ``-`` if nothing ever was; None if a window is."""
    if read_lease(arena.admin) is not None or arena.read_only_wanted():
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


def _look(arena: Arena, run: str) -> tuple[dict[str, bool | None], list[str]]:
    sandbox, pusher = arena.sandbox, arena.pusher
    pruners = sandbox.pruners_alive()
    journal = sandbox.pruner_journal()
    if pusher is not None:
        pusher.stop()
    problems = list(sandbox.verify().problems)
    cluster_problems = [each for each in problems if each.split("/")[0] in _OBJECTS or "still runs" in each]
    storage_problems = [each for each in problems if each not in cluster_problems]
    beside = None if pusher is None else pusher.accepted_while(journal)
    writable = [each["pod"] for each in journal if each.get("mode") == "delete" and not each["read_only"]]
    if writable:
        problems.append(f"a delete ran in pods that took pushes: {', '.join(writable)}")
    if beside:
        problems.append(f"{len(beside)} pushes were accepted while a pruner deleted, the first in {beside[0].pod}")
    if (most := sandbox.most_pruners_at_once()) > 1:
        problems.append(f"{most} pruners lived at once")
    deleted = run == "success" and any(each.get("mode") == "delete" for each in journal)
    left, told = _look_at_delete(arena) if deleted else ("", None)
    problems += [each for each in (left, told) if each]
    conditions = {
        "read-write": not arena.read_only_wanted() and sandbox.settled(),
        "lease gone": read_lease(arena.admin) is None,
        "no pruner": pruners == 0,
        "one pruner": most <= 1,
        "images whole": not storage_problems,
        "no push beside": False if beside or writable else None if beside is None else True,
        "orphans gone": not left if deleted else None,
        "report true": None if told is None else not told,
        "as before": not cluster_problems,
    }
    return conditions, problems


def _look_at_delete(arena: Arena) -> tuple[str, str | None]:
    """What is wrong with what the delete left, and with what its report says; None if there is no report."""
    orphans_left = arena.orphans & arena.sandbox.stored_digests()
    left = f"{len(orphans_left)} of {len(arena.orphans)} orphans are left" if orphans_left else ""
    report = arena.report()
    if report is None:
        return left, None
    told, gone = report["deleted_blobs"], len(arena.clock.blobs.gone())
    return left, "" if told == gone else f"the report says that {told} blobs were deleted, and {gone} went"
