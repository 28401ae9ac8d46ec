"""
# Guard of the read-only windows

Every five minutes, for every cluster: if a run of `registry_prune` opened the read-only window and is gone (its lease
has run out, or Airflow knows the run as ended), the guard closes the window in the same way as the run would have: no
pruner lives, what the lease says is put back, every registry pod takes pushes again. It alerts whenever it had to.

A registry that somebody else made read-only is never touched; an alert says so after an hour.

This DAG works while `registry_prune` is paused or its file is broken. For when Airflow itself is gone, the cluster can
have a guard of its own: `deploy/guard.yaml`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.registry_prune.alerts import Alert, AlertKind
from include.registry_prune.settings import load_clusters
from include.registry_prune.window_operators import GuardWindow

PERIOD = timedelta(minutes=5)

with DAG(
    dag_id="registry_guard",
    schedule=PERIOD,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["image-registry", "openshift"],
) as registry_guard:
    for _cluster in load_clusters():
        GuardWindow(
            task_id=f"guard_{_cluster.name}",
            cluster=_cluster,
            period=PERIOD,
            # The next round is the retry.
            retries=0,
            execution_timeout=timedelta(seconds=_cluster.seconds("settle_limit")) + PERIOD,
            on_success_callback=Alert(AlertKind.GUARD, _cluster),
            on_failure_callback=Alert(AlertKind.GUARD, _cluster),
        )
