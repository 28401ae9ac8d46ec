"""A process that does what the task ``survey`` does, and says what it took. Run by ``benchmarks.dry_run``.

``python -m benchmarks.stream.dry_run_task``; the connection and Airflow's home are in the environment. One JSON object
on standard output: seconds of the work itself, CPU seconds of it, peak resident bytes of the process, blobs, and
where the list is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from include.registry_prune.cluster.role import grant_role
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.before_window import Survey


def peak_resident_bytes() -> int:
    """The largest resident set that this process had so far.

    Not ``getrusage``: its figure begins with that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def main() -> int:
    """Do it.

    :return: exit status: 0.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    ti = SimpleNamespace(xcom_push=lambda key, value: None)
    dag_run = SimpleNamespace(dag_id="registry_prune", conf={}, run_id="benchmark")
    context: Any = {"dag_run": dag_run, "run_id": dag_run.run_id, "ti": ti}
    settings = ClusterSettings()
    run = Run(context, settings)
    # Also loads the clients and connects, so that the measured work is that of the dry run alone.
    grant_role(run.cluster)
    started, cpu_before = time.monotonic(), time.process_time()
    result = Survey(task_id="survey", cluster=settings).list_candidates(run)
    figures = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu_before,
        "peak_bytes": peak_resident_bytes(),
        "blobs": result.counted_blobs,
        "artifact": result.artifact,
    }
    os.write(sys.stdout.fileno(), json.dumps(figures).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
