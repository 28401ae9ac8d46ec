"""
# Guard of a cluster's read-only windows

Every five minutes: if a run of `registry_prune` opened the read-only window and is gone (its lease has run out, or
Airflow knows the run as ended), or the window had to end by now, or somebody has set `readOnly` to false in it, the
guard closes the window in the same way as the run would have: no pruner lives, what the lease says is put back, every
registry pod takes pushes again. It alerts whenever it had to. A window that must end before the next round is waited
for.

A registry that somebody else made read-only is never touched; an alert says so after an hour, and once in every further
one.

**To try the alerts**, trigger it with `alert_test`: it sends a test by every channel of the cluster, and fails if one
does not take it.

Each cluster has a guard of its own: a cluster that does not answer keeps no other one waiting. It works while
`registry_prune` is paused, and while the cluster's entry in `clusters.yaml` is wrong, if its connection can be read.
For when Airflow itself is gone, the cluster can have a guard inside: `deploy/guard.yaml`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from include.registry_prune.alerts.alerts import Alert, AlertKind
from include.registry_prune.run.base import FIRST_OF_ALL, NO_BACKFILLS, closing_timeout
from include.registry_prune.run.dag_file import clusters_to_guard
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.guard import ALERT_TEST, PERIOD, GuardWindow


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
            # It may wait for the end of a window that comes before the next round.
            execution_timeout=PERIOD + closing_timeout(cluster),
            on_success_callback=Alert(AlertKind.GUARD, cluster),
            on_failure_callback=Alert(AlertKind.GUARD, cluster),
            **FIRST_OF_ALL,
        )
    return dag


for _cluster in clusters_to_guard():
    globals()[_cluster.guard_dag_id] = build_guard(_cluster)
