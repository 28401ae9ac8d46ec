"""What a Celery worker has imported before its first task: ``[celery] celery_config_options`` names ``CONFIG``.

A worker forks a process for each task. What it has not imported, each of them imports anew: 2 s of CPU time, five times
in a read-only window. LocalExecutor has ``mp_forkserver_preload`` for the same; Celery does not look at it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

PRELOADED = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.providers.cncf.kubernetes.hooks.kubernetes",
    "kubernetes.stream",
    "yaml",
)
"""As in ``deploy/values.yaml``. Nothing of this project is among it, so that new code is read at once."""
PRELOADED_IF_THERE = ("airflow.providers.amazon.aws.fs.s3", "s3fs")
"""For lists in a bucket."""


def configuration() -> dict[str, Any]:
    """Celery's configuration as Airflow's provider has it, and the imports."""
    # By its name: the provider is no requirement of this project, and is there wherever Celery is.
    defaults: dict[str, Any] = import_module("airflow.providers.celery.executors.default_celery").DEFAULT_CELERY_CONFIG
    there = (name for name in PRELOADED_IF_THERE if _found(name))
    return {**defaults, "imports": (*PRELOADED, *there)}


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def __getattr__(name: str) -> Any:
    """``CONFIG`` is made when it is asked for: without Celery's provider this file can still be imported."""
    if name == "CONFIG":
        return configuration()
    raise AttributeError(name)
