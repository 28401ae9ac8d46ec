"""As many deletes that are followed at once as the environment says: the DAG of ``benchmarks.stream.following``."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from benchmarks.stream.followed_delete import FollowedDelete
from include.registry_prune.settings.clusters import ClusterSettings

COUNT_VARIABLE, ARTIFACTS_VARIABLE = "BENCHMARK_DELETES", "BENCHMARK_ARTIFACTS"

with DAG("following", schedule=None, max_active_tasks=1_000) as dag:
    for number in range(int(os.environ.get(COUNT_VARIABLE, "0"))):
        FollowedDelete(
            task_id=f"delete_{number}",
            cluster=ClusterSettings(
                name=f"c{number}", connection=f"cluster_{number}", artifacts=os.environ[ARTIFACTS_VARIABLE]
            ),
        )
