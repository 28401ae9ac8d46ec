"""
# Undo a delete by the list

Puts back what the hard prune of one run took, as far as it is still kept: on a file system until `keep_deleted` is
over, in a versioned bucket until the bucket's own rules remove it. The report of a run says whether, and until when.
Blobs are named by their content, and each is checked before it is put back: this needs no read-only window, and may be
done twice.

Trigger it with `run`: the id of the run of `registry_prune` whose delete is to be undone. It is refused while a prune,
or another pruner, is at work. What it puts back is orphaned again unless an Image names it: the next run lists it anew.

The documented delete (`delete_by: dockerregistry`) keeps nothing: there is nothing to undo.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from include.registry_prune.run.base import NO_BACKFILLS
from include.registry_prune.run.dag_file import clusters_to_undo
from include.registry_prune.run.tries import note_problem
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.kept import UndoDelete


def build_undo(cluster: ClusterSettings) -> DAG:
    """The undo of one cluster."""
    with DAG(
        dag_id=cluster.undo_dag_id,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        **NO_BACKFILLS,
        params={
            "run": Param(
                type="string",
                minLength=1,
                title="Run",
                description="Id of the run whose delete is to be undone, such as scheduled__2026-11-26T03:15:00+00:00.",
            )
        },
        doc_md=__doc__,
        tags=["image-registry", "openshift"],
    ) as dag:
        UndoDelete(
            task_id="put_back",
            cluster=cluster,
            retries=2,
            retry_delay=timedelta(seconds=10),
            execution_timeout=timedelta(seconds=cluster.seconds("dry_run_limit"), minutes=5),
            on_failure_callback=note_problem,
        )
    return dag


for _cluster in clusters_to_undo():
    globals()[_cluster.undo_dag_id] = build_undo(_cluster)
