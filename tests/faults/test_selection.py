"""A few faults of the sweep (``make faults``), by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.catalogue import in_process_faults
from faults.in_process import try_in_process

pytestmark = pytest.mark.usefixtures("airflow_database")
FAULTS = {fault.name: fault for fault in in_process_faults()}
SELECTION = [
    "exception, set_read_only, after its call",
    "API answers 401 to 3 requests, restore_read_write, from its first call",
    "API answers 503 to 3 requests, set_read_only, from its first call",
    "exec cut abruptly, hard_prune, in mid-delete",
    "pod evicted, hard_prune, in mid-delete",
    # Guards the watch over the delete: without it, pushes are accepted beside the pruner and torn.
    "person sets readOnly false, hard_prune, in mid-delete",
]


@pytest.mark.parametrize("name", SELECTION)
def test_whatever_goes_wrong_the_registry_ends_read_write_and_whole(name: str, tmp_path: Path) -> None:
    outcome = try_in_process(FAULTS[name], tmp_path / "sandbox")
    assert outcome.good, outcome


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(FAULTS) == len(in_process_faults())
