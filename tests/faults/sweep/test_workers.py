"""The sweep's processes: one that dies costs its own row alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from faults.catalogue.kinds import IN_PROCESS
from faults.fault import Outcome
from faults.sweep import workers
from faults.sweep.trying import Job
from faults.sweep.workers import Workers

NAMES = [f"exception, {task}, before its call" for task in ("dry_run", "hard_prune", "report", "survey")]
DEADLY, ENDLESS = NAMES[1], NAMES[2]


def play(number: int, orders: Any, results: Any, _logs: Path) -> None:
    """Stands in for the real work."""
    while (job := orders.get()) is not None:
        if job[1] == DEADLY:
            os._exit(3)
        results.put((number, job, Outcome(job[1], "", "success", "run", {"read-write": True}, 1.0, 1.0)))


def stall(number: int, orders: Any, results: Any, logs: Path) -> None:
    """One row never ends."""
    job = orders.get()
    results.put((number, job, None))
    if job[1] == ENDLESS:
        orders.get()
    results.put((number, job, Outcome(job[1], "", "success", "run", {"read-write": True}, 1.0, 1.0)))
    play(number, orders, results, logs)


def swept(names: list[str], folder: Path, work: workers.Work) -> dict[str, Outcome]:
    jobs: list[Job] = [(IN_PROCESS, name) for name in names]
    with Workers(jobs, 2, folder, work) as running:
        return {name: outcome for (_, name), outcome in running.outcomes()}


def test_every_fault_is_tried_though_a_process_dies(tmp_path: Path) -> None:
    outcomes = swept(NAMES, tmp_path, play)
    assert {name for name, outcome in outcomes.items() if not outcome.good} == {DEADLY}
    assert set(outcomes) == set(NAMES)
    assert outcomes[DEADLY].remarks == ("the sweep's process: died: 3",)


def test_a_row_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ROW_LIMIT_SECONDS", 2.0)
    outcomes = swept([ENDLESS, NAMES[0]], tmp_path, stall)
    assert not outcomes[ENDLESS].good
    assert "no end after 2 s" in outcomes[ENDLESS].remarks[0]
    assert outcomes[NAMES[0]].good
