"""Runs the DAG in a real Airflow while a fault hits it; one Airflow serves fault after fault, each with a sandbox."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from faults.arena.arena import CONF
from faults.arena.ending import conclude
from faults.fault import Fault, Outcome
from faults.processes.process_arena import ProcessArena
from faults.processes.real_airflow import DAG, RealAirflow


def try_in_real_airflow(airflow: RealAirflow, fault: Fault[Any], folder: Path) -> Outcome:
    """Let one run meet the fault.

    :param folder: new and empty.
    """
    with ProcessArena(folder, fault, airflow) as arena:
        shutil.copy(arena.account, airflow.kubeconfig)
        try:
            fault.prepare(arena)
            arena.run_id = airflow.api.trigger(DAG, {**CONF, **fault.conf})
            state = arena.await_end()
            if fault.afterwards is not None:
                arena.finish_run(state)
                fault.afterwards(arena)
                state = arena.await_end()
            return conclude(arena, state)
        finally:
            arena.over.set()
            _tidy_up(arena)


def _tidy_up(arena: ProcessArena) -> None:
    """Nothing of this fault may live into the next."""
    airflow = arena.airflow
    airflow.points.clear()
    arena.await_mending()
    airflow.start_missing()
    airflow.reset_entries()
    airflow.api.unpause(DAG)
    if arena.run_id:
        arena.finish_run("")
    airflow.end_strays()
    airflow.points.clear()
