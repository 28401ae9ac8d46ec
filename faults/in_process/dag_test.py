"""``dag.test()`` without its pauses."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

PAUSE_SECONDS = 0.01


def run_in_process(dag: Any, conf: Mapping[str, Any]) -> Any:
    """Run a DAG to its end in this process.

    ``dag.test()`` sleeps for a second each time that "skipped" or "upstream failed" goes on to the next task, which is
    up to fifteen times in a run of ours. Its own pauses alone are shortened: whatever else sleeps, sleeps as ever.

    :param dag: an Airflow DAG.
    :param conf: what a user gives at the trigger.
    :return: Airflow's DagRun, which has ended.
    """
    own_code, sleep = inspect.unwrap(type(dag).test).__code__, time.sleep

    def pause(seconds: float) -> None:
        is_own = sys._getframe(1).f_code is own_code
        sleep(min(seconds, PAUSE_SECONDS) if is_own else seconds)

    with patch("time.sleep", pause):
        return dag.test(run_conf=dict(conf))
