"""A process that parses a DAG file as Airflow does, and says what it took. Run by ``benchmarks.fleet.parse``.

``python -m benchmarks.fleet.parse_file FILE --clusters FILE [--task DAG_ID]``: as the dag-processor, which also makes
of each DAG what it stores, or as the process of one of the DAG's tasks. One JSON object on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from faults.in_process.airflow_home import use_home


def main() -> None:
    """Parse, serialize, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--clusters", type=Path, required=True)
    parser.add_argument("--task", metavar="DAG_ID")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        use_home(Path(home))
        os.environ["REGISTRY_PRUNE_CLUSTERS"] = str(options.clusters)
        sys.stdout.write(json.dumps(_taken(options.file, options.task)) + "\n")


def _taken(file: Path, task_of: str | None) -> dict[str, float]:
    # Airflow has these in memory when it begins to parse.
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
    from airflow.serialization.serialized_objects import DagSerialization

    started = time.process_time()
    with _airflow_parsing_context_manager(dag_id=task_of, task_id="survey" if task_of else None):
        bag = DagBag(dag_folder=str(file))
    parsed = time.process_time()
    if bag.import_errors or not bag.dags:
        raise ValueError(f"{file}: {bag.import_errors or 'there is no DAG in it'}")
    stored = 0 if task_of else sum(len(json.dumps(DagSerialization.to_dict(dag))) for dag in bag.dags.values())
    return {
        "DAGs": len(bag.dags),
        "parse seconds": parsed - started,
        "serialize seconds": time.process_time() - parsed,
        "stored bytes": stored,
    }


if __name__ == "__main__":
    main()
