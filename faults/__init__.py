"""The fault sweep: real runs against a sandbox, something goes wrong in each, and the end is looked at.

A test tool: ``python -m faults``, ``make faults``. What must hold at the end is in :mod:`faults.arena.ending`.

================  ============================================================================================
``catalogue/``    which faults there are: a new fault goes here
``arena/``        a sandbox with one run in it: what happens to the cluster, what is watched, what must hold
``in_process/``   the run in this process, and the points at which its tasks are struck
``processes/``    the run in a real Airflow, and what happens to Airflow's processes
``sweep/``        the command line, many faults side by side, the tables of ``results.md``
================  ============================================================================================
"""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
