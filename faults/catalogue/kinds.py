"""The kinds of faults, and all faults of each."""

from __future__ import annotations

from typing import Any

from faults.catalogue.airflow_processes import process_faults
from faults.catalogue.matrix import matrix
from faults.catalogue.matrix_extras import extras
from faults.catalogue.tasks_and_connections import in_process_faults
from faults.fault import Fault

IN_PROCESS, PROCESSES, MATRIX = "in-process", "processes", "matrix"
KINDS = (PROCESSES, MATRIX, IN_PROCESS)
"""In the order in which they are tried."""


def catalogue(kind: str) -> list[Fault[Any]]:
    """All faults of a kind."""
    if kind == MATRIX:
        return [*matrix(), *extras()]
    return list(in_process_faults() if kind == IN_PROCESS else process_faults())
