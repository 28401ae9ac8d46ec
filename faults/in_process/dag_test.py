"""``dag.test()`` without its pauses, and without what it does again in each run."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from jsonschema import Draft202012Validator

PAUSE_SECONDS = 0.01


def run_in_process(dag: Any, conf: Mapping[str, Any]) -> Any:
    """Run a DAG to its end in this process.

    ``dag.test()`` sleeps for a second each time that "skipped" or "upstream failed" goes on to the next task, which is
    up to fifteen times in a run of ours. Its own pauses alone are shortened: whatever else sleeps, sleeps as ever. It
    parses and stores every DAG file before each run: a DAG that Airflow's database knows already is run as it is. And
    each task holds the schema of each field of the trigger form against the schema of schemas: the values alone are
    looked at here, as ``tests/dags/test_trigger_form.py`` looks at the schemas.

    :param dag: an Airflow DAG.
    :param conf: what a user gives at the trigger.
    :return: Airflow's DagRun, which has ended.
    """
    # This module is imported before Airflow's home is chosen.
    from airflow.models.dag_version import DagVersion

    own_code, sleep = inspect.unwrap(type(dag).test).__code__, time.sleep

    def pause(seconds: float) -> None:
        is_own = sys._getframe(1).f_code is own_code
        sleep(min(seconds, PAUSE_SECONDS) if is_own else seconds)

    with ExitStack() as replaced:
        replaced.enter_context(patch("time.sleep", pause))
        replaced.enter_context(patch.object(Draft202012Validator, "check_schema"))
        if DagVersion.get_version(dag.dag_id) is not None:
            for name in ("BundleDagBag", "sync_bag_to_db"):
                replaced.enter_context(patch(f"airflow.dag_processing.dagbag.{name}"))
        return dag.test(run_conf=dict(conf))
