"""
# Guard of a cluster's read-only windows

Every five minutes: if a run of `registry_prune` opened the read-only window and is gone (its lease has run out, or
Airflow knows the run as ended), or somebody has set `readOnly` to false in an open window, the guard closes the window
in the same way as the run would have: no pruner lives, what the lease says is put back, every registry pod takes pushes
again. It alerts whenever it had to.

A registry that somebody else made read-only is never touched; an alert says so after an hour, and once in every further
one.

**To try the alerts**, trigger it with `alert_test`: it sends a test by every channel of the cluster, and fails if one
does not take it.

Each cluster has a guard of its own: a cluster that does not answer keeps no other one waiting. It works while
`registry_prune` is paused or its file is broken. For when Airflow itself is gone, the cluster can have a guard inside:
`deploy/guard.yaml`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.settings.clusters import ClusterSettings, load_clusters
from include.registry_prune.tasks.base import FIRST_OF_ALL, NO_BACKFILLS, closing_timeout
from include.registry_prune.tasks.guard import ALERT_TEST, GuardWindow

PERIOD = timedelta(minutes=5)


def build_guard(cluster: ClusterSettings) -> DAG:
    """The guard of one cluster."""
    with DAG(
        dag_id=cluster.guard_dag_id,
        schedule=PERIOD,
        catchup=False,
        max_active_runs=1,
        **NO_BACKFILLS,
        params={
            ALERT_TEST: Param(
                False, type="boolean", title="Test the alerts", description="Send a test by every channel."
            )
        },
        doc_md=__doc__,
        tags=["image-registry", "openshift"],
    ) as dag:
        GuardWindow(
            task_id=f"guard_{cluster.name}",
            cluster=cluster,
            # The next round is the retry.
            retries=0,
            execution_timeout=closing_timeout(cluster),
            on_success_callback=Alert(AlertKind.GUARD, cluster),
            on_failure_callback=Alert(AlertKind.GUARD, cluster),
            **FIRST_OF_ALL,
        )
    return dag


for _cluster in load_clusters():
    globals()[_cluster.guard_dag_id] = build_guard(_cluster)
