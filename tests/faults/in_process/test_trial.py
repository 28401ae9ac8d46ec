"""A few faults of the sweep (``make faults``), by the same code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faults.catalogue.kinds import IN_PROCESS, catalogue
from faults.in_process.trial import try_in_process

FAULTS = {fault.name: fault for fault in catalogue(IN_PROCESS)}
SELECTION = [
    "exception, set_read_only, after its call",
    "API answers 401 to 3 requests, restore_read_write, from its first call",
    "API answers 503 to 3 requests, set_read_only, from its first call",
    "exec cut abruptly, hard_prune, in mid-delete",
    "pod evicted, hard_prune, in mid-delete",
    # Guards the watch over the delete: without it, pushes are accepted beside the pruner and torn.
    "person sets readOnly false, hard_prune, in mid-delete",
    # Guards restore_read_write's look whether a window without a lease is its own.
    "person removes the lease, hard_prune, in mid-delete",
]
SHORT_DELETES = {
    "exec cut abruptly, hard_prune, in mid-delete": 5.0,
    "pod evicted, hard_prune, in mid-delete": 5.0,
}
"""Seconds of a delete that outlives its fault, which comes after one or two. The deletes that persons end stay long:
without the watch over them, pods that take pushes need that time to come up beside them."""


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("name", SELECTION)
def test_whatever_goes_wrong_the_registry_ends_read_write_and_whole(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    fault = replace(fault, delete_seconds=SHORT_DELETES.get(name, fault.delete_seconds))
    outcome = try_in_process(fault, tmp_path / "sandbox")
    assert outcome.good, outcome
