"""What goes on in the triggerer while a task holds no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.registry_prune.deletion.follower import DeleteFollower
from include.registry_prune.deletion.handover import Delete, FollowSettings
from include.registry_prune.lists.deleted_list import DeletedList, DeletedListPlace
from include.registry_prune.lists.kept_progress import KeptProgress, progress_path

if TYPE_CHECKING:
    from include.registry_prune.cluster.async_cluster import AsyncCluster


class DeleteTrigger(BaseTrigger):
    """Follows a delete to its end; fires one event, a :class:`DeleteEnd` as JSON.

    It may be ended and begun anew at any time, also twice at once: all it does is look at what goes on in the pod. So
    it ends nothing when it is cancelled: a triggerer that restarts cancels it too. Whoever marks the task as failed,
    or clears it, sets ``restore_read_write`` going, and that makes sure that no pruner lives.

    :param connection_id: Airflow connection of the cluster.
    :param delete: a :class:`Delete` as JSON; so are the others.
    """

    def __init__(
        self, connection_id: str, delete: dict[str, Any], settings: dict[str, Any], place: dict[str, Any]
    ) -> None:
        super().__init__()
        self.connection_id = connection_id
        self.delete = Delete.from_json(delete)
        self.settings = FollowSettings.from_json(settings)
        self.place = DeletedListPlace.from_json(place)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger as plain values."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "connection_id": self.connection_id,
                "delete": self.delete.to_json(),
                "settings": self.settings.to_json(),
                "place": self.place.to_json(),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the delete."""
        attempt = self.delete.attempt
        deleted = DeletedList(self.place, attempt=attempt.number, pod=attempt.pod)
        place = self.place
        told = progress_path(place.configured, dag_id=place.dag_id, run_id=place.run_id, task_id=place.task_id)
        follower = DeleteFollower(self._connect, self.delete, self.settings, deleted, KeptProgress(told).keep)
        end = await follower.follow()
        assert end is not None
        yield TriggerEvent(end.to_json())

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AsyncCluster]:
        """The cluster, by the run's Airflow connection.

        :raises ClusterError: if there is no such connection, or it cannot be used.
        """
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
        from airflow.providers.common.compat.connection import get_async_connection

        from include.registry_prune.cluster.async_cluster import AsyncCluster
        from include.registry_prune.cluster.error import ClusterError

        hook = AsyncKubernetesHook(conn_id=self.connection_id)
        try:
            # Without a connection the hook falls back to ~/.kube/config: whichever cluster that is.
            await get_async_connection(self.connection_id)
            connection = hook.get_conn()
            api = await connection.__aenter__()
        except Exception as error:  # the hook and the client raise a dozen kinds for a bad kubeconfig
            raise ClusterError(f"Airflow connection {self.connection_id} cannot be used: {error}") from error
        try:
            yield AsyncCluster(api)
        finally:
            await connection.__aexit__(None, None, None)
