"""A DAG for tests in place of the real one: its id, its report and its progress messages, but no cluster."""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, get_current_context, task

log = logging.getLogger(__name__)

with DAG("registry_prune", schedule="@daily", catchup=False, max_active_runs=1, params={"linger_in": ""}) as dag:

    @task
    def set_read_only() -> None:
        log.info("progress: 2 of 2 pods are read-only")

    @task
    def hard_prune(linger_in: str) -> None:
        """Ends at once, or never, with a child that leaves the task's session."""
        log.info("progress: 8 of 8 blobs deleted (100 %), 4 blobs/s")
        if linger_in:
            subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path(linger_in, "lingering").touch()
            time.sleep(600)

    @task
    def restore_read_write(linger_in: str) -> None:
        if linger_in:
            Path(linger_in, "restored").touch()

    @task
    def report() -> dict[str, Any]:
        return {
            "version": 3,
            "run_id": get_current_context()["run_id"],
            "cluster": "none",
            "outcome": "pruned",
            "lines": [["orphans found", "8 blobs, about 2.0 KiB"]],
            "phases": {"hard_prune": 1.0},
        }

    linger_in = "{{ params.linger_in }}"
    opened: Any = set_read_only().as_setup()
    closed = restore_read_write(linger_in).as_teardown(setups=opened)
    opened >> hard_prune(linger_in) >> closed >> report().as_teardown()
