"""Further rows of the matrix: two runs, two Airflows, two versions at one cluster, and a store that hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

from faults.arena.events import adds_to_lease, all_of, replaces_config
from faults.arena.guards import guard_round
from faults.catalogue.clusters_and_persons import AS_SLOW_AS_REAL
from faults.catalogue.matrix import ASKED, RUN_SECONDS
from faults.catalogue.tasks_and_connections import EVERYTHING
from faults.fault import Fault
from faults.processes.process_arena import ProcessArena
from faults.processes.real_airflow import DAG, GUARD_DAG
from faults.processes.strikes import DELETE, MID_DELETE, airflow_killed, at, strike_and, to_cluster
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import FINISHED_RUN_STATES, wait_for

_WITH_SURVEY = {"survey": True}
_LONG_DELETE_SECONDS = 40.0
_TWIN = "twin"


def _backfills(arena: ProcessArena, _task: str) -> None:
    """Three days are made up for, all at once; a DAG that refuses that is right."""
    with arena.not_over_before():
        with suppress(LocalAirflowError):
            arena.airflow.api.backfill(DAG, 3, {"base_prune": False, "min_blobs": 10, **_WITH_SURVEY})
        wait_for(lambda: not arena.airflow.api.run_ids(DAG, ("queued", "running")), RUN_SECONDS)


def _starts_twin(arena: ProcessArena, _task: str) -> None:
    """The other entry's DAG runs, for the same cluster."""
    api, twin = arena.airflow.api, f"{DAG}_{_TWIN}"
    with arena.not_over_before():
        wait_for(lambda: api.knows_dag(twin), 60)
        api.unpause(twin)
        run_id = api.trigger(twin, {**EVERYTHING, "min_blobs": 10})
        wait_for(lambda: api.run_state(twin, run_id) in FINISHED_RUN_STATES, RUN_SECONDS)


def _starts_namesake(arena: ProcessArena, _task: str) -> None:
    """The second Airflow starts a run of the same name."""
    api = arena.second.api
    with arena.not_over_before():
        api.trigger_as(DAG, arena.run_id, {**EVERYTHING, "min_blobs": 10})
        wait_for(lambda: api.run_state(DAG, arena.run_id) in FINISHED_RUN_STATES, RUN_SECONDS)


def _stops_follower(arena: ProcessArena, task: str) -> None:
    """The follower sleeps for longer than its lease, a guard closes, the next run deletes; then the follower wakes."""
    follower = arena.points.processes(task)
    with arena.not_over_before():
        _signal(follower, signal.SIGSTOP)
        try:
            wait_for(lambda: (lease := arena.lease()) is None or lease.expired, RUN_SECONDS)
            guard_round(arena.cluster)
            arena.airflow.api.mark_failed(DAG, arena.run_id)
            wait_for(arena.has_ended, RUN_SECONDS)
            arena.points.forget_processes(task)
            arena.clock.blobs.forget()
            arena.run_id = arena.airflow.api.trigger(DAG, {"base_prune": False, "survey": False, "min_blobs": 1})
            wait_for(lambda: arena.points.known(task) and arena.deleting(), RUN_SECONDS)
        finally:
            _signal(follower, signal.SIGCONT)
        wait_for(lambda: arena.run_state() in FINISHED_RUN_STATES, RUN_SECONDS)


def _signal(follower: tuple[int, int], number: int) -> None:
    for process in follower:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _hangs_store(arena: ProcessArena, _task: str) -> None:
    arena.points.hang_store()


def _renames_entry(arena: ProcessArena, _task: str) -> None:
    """The entry has another name: from now on only the guard of that name looks at the cluster."""
    api, guard = arena.airflow.api, f"{GUARD_DAG}_renamed"
    with arena.not_over_before():
        arena.airflow.rename_entry("default", "renamed")
        wait_for(lambda: api.knows_dag(guard), RUN_SECONDS)
        api.unpause(guard)
        arena.guard_dag = guard


def extras() -> Iterator[Fault[ProcessArena]]:
    """One row each."""
    for what, strike, options in (
        ("a backfill of three days", _backfills, {}),
        ("a second entry for the same cluster", _starts_twin, {"entries": {_TWIN: {}}}),
        ("a follower stopped for longer than its lease, then resumed", _stops_follower,
         {"delete_seconds": 60.0, "ends": "success"}),
        # Each try of the reconciliation waits for the store for two minutes; the registry takes pushes by then.
        ("a store of lists that never answers", _hangs_store, {"run_seconds": 900.0}),
        ("oc replace of the Config", to_cluster(replaces_config), {"sandbox": AS_SLOW_AS_REAL}),
        ("an older guard, all of Airflow killed", strike_and(airflow_killed(), adds_to_lease),
         {"in_cluster_guard": True, "closed_by": "guard in the cluster"}),
        ("a renamed entry", _renames_entry, {}),
    ):  # fmt: skip
        yield _extra(what, at(DELETE, MID_DELETE, strike), **options)
    strikes = at(DELETE, MID_DELETE, _starts_namesake)
    yield _extra("a second Airflow with the same run ids", all_of(ProcessArena.start_second_airflow, strikes))


def _extra(what: str, prepare: Callable[[ProcessArena], None], **options: object) -> Fault[ProcessArena]:
    fields = {"delete_seconds": _LONG_DELETE_SECONDS, "run_seconds": RUN_SECONDS, **options}
    return Fault(
        f"matrix, {what}", f"{DELETE}, {MID_DELETE}", prepare, slow_delete=True, asked=ASKED, **fields  # type: ignore[arg-type]
    )  # fmt: skip
