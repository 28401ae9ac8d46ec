"""A cluster by its Airflow connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.bases.hook import BaseHook

if TYPE_CHECKING:
    from include.registry_prune.cluster.cluster import Cluster


def connect(connection: str) -> Cluster:
    """The cluster that an Airflow connection leads to.

    :raises ClusterError: if there is no such connection, or it cannot be used.
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from include.registry_prune.cluster.cluster import Cluster
    from include.registry_prune.cluster.error import ClusterError

    advice = f"Make a connection {connection} of type kubernetes (docs/connection.md) for the cluster to prune."
    try:
        # Without a connection the hook falls back to ~/.kube/config: whichever cluster that is.
        BaseHook.get_connection(connection)
    except AirflowNotFoundException as error:
        raise ClusterError(f"There is no Airflow connection {connection}. {advice}", 404) from error
    try:
        return Cluster(KubernetesHook(conn_id=connection).get_conn())
    except Exception as error:  # the hook and the client raise a dozen kinds for a bad kubeconfig
        raise ClusterError(f"Airflow connection {connection} cannot be used: {error}. {advice}", 400) from error
