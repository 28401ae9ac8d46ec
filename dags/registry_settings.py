"""
What is wrong in ``clusters.yaml``, as an import error in Airflow's UI.

There is no DAG in this file. An import error of a file ends the schedule of every DAG in it, so it stands here, and the
DAGs of the clusters whose entries are right stay.
"""

from __future__ import annotations

from include.registry_prune.run.dag_file import require_shared_lists
from include.registry_prune.settings.clusters_file import ClustersFile

ClustersFile.read().require_right()
require_shared_lists()
