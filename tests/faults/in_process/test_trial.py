"""A few faults of the sweep (``make faults``), by the same code."""

from __future__ import annotations

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


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("name", SELECTION)
def test_whatever_goes_wrong_the_registry_ends_read_write_and_whole(name: str, tmp_path: Path) -> None:
    outcome = try_in_process(FAULTS[name], tmp_path / "sandbox")
    assert outcome.good, outcome
