"""A sandbox for tests: ``with Sandbox(directory) as sandbox: ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.assembly import situations
from sandbox.assembly.bootstrap import create_from
from sandbox.assembly.cluster_thread import ClusterThread
from sandbox.assembly.control import EVICTION_MESSAGE
from sandbox.base.names import CLUSTER, CLUSTER_VERSION, CLUSTER_VERSIONS, CONFIGS, NAMESPACE, POD_SELECTOR
from sandbox.base.storage_kinds import storage_spec
from sandbox.controllers.builds import BUILDS, build_object
from sandbox.controllers.operator.cluster_version import set_cluster_version
from sandbox.kubelet.containers.pod_files import shared_memory_bytes
from sandbox.kubelet.exec_faults import ExecFault, ExecFaults
from sandbox.registry.verify.pruners import pruner_processes
from sandbox.server.faults import ApiFaults
from sandbox.server.request_counts import RequestCounts

if TYPE_CHECKING:
    from sandbox.object_storage.bucket import ObjectStorage
    from sandbox.real_registry.pusher import Pusher
    from sandbox.registry.faults import PrunerFaults
    from sandbox.registry.seed.inventory import SeedInventory
    from sandbox.registry.seed.seed import SeedPlan
    from sandbox.registry.verify.verify import VerifyReport

_SETTLE_MARGIN_SECONDS = 60.0


class Sandbox(ClusterThread):
    """A cluster in a thread of this process, with an event loop of its own.

    The methods may be called from any thread. At the end of the ``with`` block everything has stopped and every
    process of every pod has ended, whatever happened in between.

    :param directory: for the state folder; a test's ``tmp_path``.
    :param settings: default is :meth:`SandboxSettings.quick`.
    """

    # --- how to reach it

    @property
    def url(self) -> str:
        """Of the API server."""
        return self.cluster.url

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster-admin."""
        return self.state.kubeconfig

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig for a service account."""
        return self.cluster.credentials.write_service_account_kubeconfig(self.url, namespace, name)

    # --- objects

    def get_object(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """An object as it is now (``configs.imageregistry.operator.openshift.io``, ``pods`` …).

        :raises ApiError: 404.
        """
        return self.call(lambda cluster: cluster.store.get(resource, name, namespace))

    def create_objects(self, manifest: Path) -> None:
        """Add the objects of a file in YAML, as an administrator's `kubectl apply` does; those that are there stay."""
        self.call(lambda cluster: create_from(manifest, cluster.store))

    def list_objects(
        self, resource: str, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]:
        """Objects as they are now."""
        return self.call(lambda cluster: cluster.store.list(resource, namespace, labels))

    def registry_pods(self) -> list[dict[str, Any]]:
        """The registry's pods, Terminating and failed ones included."""
        return self.list_objects("pods", NAMESPACE, POD_SELECTOR)

    def registry_addresses(self) -> dict[str, str]:
        """Pod to ``IP:PORT`` (plain HTTP) of every registry that answers, those in Terminating pods included.

        Empty if the pods idle: see ``SandboxSettings.real_registry``.
        """
        return self.call(lambda cluster: cluster.kubelet.registry_addresses())

    def pusher(self, interval: float = 0.05) -> Pusher:
        """Pushes to all of these, as long as it is entered as a context.

        :param interval: seconds between two rounds.
        """
        from sandbox.real_registry.pusher import Pusher

        return Pusher(self.registry_addresses, self.pruner_journal, interval)

    def configure_registry(self, **changes: Any) -> dict[str, Any]:
        """Change fields of the ``spec`` of the registry's Config (``readOnly=True``, ``managementState="Removed"``).

        ``storage`` may be the name of a kind (``pvc``, ``emptyDir``, ``s3``, ``swift``, ``none``): Config, Deployment
        and conditions change, the blobs stay in their folder.

        :raises ValueError: there is no such storage.
        """
        if isinstance(changes.get("storage"), str):
            changes["storage"] = storage_spec(changes["storage"])
        return self.call(
            lambda cluster: cluster.store.modify(CONFIGS, CLUSTER, None, lambda obj: obj["spec"].update(changes))
        )

    def set_cluster_version(self, version: str, *, completed: bool = True) -> None:
        """Update the cluster to a version (``4.9.17``), which may be an older one.

        :param completed: False: the update is under way.
        :raises ValueError: this is no version.
        """
        self.call(lambda cluster: set_cluster_version(cluster.store, version, completed=completed))

    def set_cluster_id(self, cluster_id: str) -> None:
        """Give the cluster an id of its own: every sandbox begins with the same one."""

        def edit(version: dict[str, Any]) -> None:
            version["spec"]["clusterID"] = cluster_id

        self.call(lambda cluster: cluster.store.modify(CLUSTER_VERSIONS, CLUSTER_VERSION, None, edit))

    def start_build(self, namespace: str, name: str, output: str = "shop/app:latest", seconds: float = 1.0) -> None:
        """Start a build; at its end it pushes, and fails if the registry is read-only then.

        :param namespace: made if it is not there.
        :param output: ``NAMESPACE/NAME:TAG`` for an image stream tag, ``HOST/…`` for a registry elsewhere, or empty for
            a build that pushes nothing.
        :param seconds: until its push.
        :raises ValueError: the output is none of these.
        :raises ApiError: 409, there is a build of that name.
        """
        build = build_object(namespace, name, output, seconds)
        self.call(lambda cluster: cluster.create_in_namespace(BUILDS, build))

    # --- storage

    def seed(self, plan: SeedPlan) -> SeedInventory:
        """Fill the registry."""
        from sandbox.registry.seed.seed import seed

        return seed(self.state, plan)

    def stored_digests(self) -> set[str]:
        """Of all blobs in the storage."""
        from sandbox.registry.storage.bucket import storage_of

        return {digest for digest, _ in storage_of(self.state).blobs()}

    def verify(self) -> VerifyReport:
        """Look whether everything is as a run has to leave it."""
        from sandbox.registry.verify.verify import verify

        return verify(self.state)

    # --- state

    def settled(self) -> bool:
        """Whether every registry pod, Terminating ones included, is as the Config wants it."""
        return self.call(lambda cluster: cluster.settled())

    def wait_until_settled(self, seconds: float = 30.0) -> None:
        """Return when the cluster is settled.

        :raises SandboxError: it is not in that time.
        """
        self.wait_for(self.cluster.wait_until_settled(seconds), seconds + _SETTLE_MARGIN_SECONDS)

    def pruners_alive(self) -> int:
        """How many hard pruners live in the pods, found in ``/proc``."""
        return len(pruner_processes(self.state.root))

    def pruner_journal(self) -> list[dict[str, Any]]:
        """A line for each start and each end of a hard pruner so far."""
        from sandbox.registry.journal import read_journal

        return read_journal(self.state.pruner_journal)

    def most_pruners_at_once(self) -> int:
        """The highest number of hard pruners, of any mode and in any pods, that have lived at the same moment."""
        from sandbox.registry.journal import most_at_once

        return most_at_once(self.pruner_journal())

    def shared_memory_bytes(self, pod: str, namespace: str = NAMESPACE) -> int:
        """What the files in a pod's ``/dev/shm`` take.

        :raises ApiError: 404, there is no such pod.
        """
        uid = self.get_object("pods", pod, namespace)["metadata"]["uid"]
        return shared_memory_bytes(self.state, uid)

    @property
    def requests(self) -> RequestCounts:
        """What the API server was asked."""
        return self.cluster.request_counts

    # --- faults

    @property
    def api_faults(self) -> ApiFaults:
        """Orders for faults of the API server; thread-safe."""
        return self.cluster.api_faults

    @property
    def exec_faults(self) -> ExecFaults:
        """Orders for faults of execs; thread-safe. See also :class:`ExecFault`."""
        return self.cluster.kubelet.exec_faults

    def order_exec(self, fault: ExecFault) -> None:
        """Put an order for the next execs in force."""
        self.exec_faults.add(fault)

    def order_pruner(self, faults: PrunerFaults) -> None:
        """Order the pruners that start from now on to do something wrong."""
        faults.write(self.state)

    @property
    def object_storage(self) -> ObjectStorage:
        """The server of the registry's bucket: its faults, its latency, what it was asked for.

        :raises ValueError: the blobs are in a folder (``SandboxSettings.storage``).
        """
        found = self.cluster.object_storage
        if found is None:
            raise ValueError("the blobs of this sandbox are in a folder: SandboxSettings(storage='s3') has a bucket")
        return found

    def clear_faults(self) -> None:
        """Take back all orders for faults of the API, of execs and of pruners; readiness is allowed again."""
        self.api_faults.clear()
        self.exec_faults.clear()
        self.state.pruner_faults.unlink(missing_ok=True)
        self.allow_readiness()

    def forget_media_types(self, count: int = 1) -> list[str]:
        """Empty ``dockerImageManifestMediaType`` of ``count`` Images: the pruner takes their configs.

        :returns: the names of these Images.
        :raises SandboxError: fewer Images than that have a config.
        """
        return situations.forget_media_types(self.state, count)

    def restore_empty_etcd(self, *, image_streams: bool = True) -> int:
        """The API has no Images any more, as after a restore of an early backup; the storage is as it was.

        :param image_streams: False: these are still there.
        :returns: how many Images are gone.
        """
        return situations.restore_empty_etcd(self.state, image_streams=image_streams)

    def become_other_cluster(self, images: int = 40) -> None:
        """From now on the API is that of another cluster: its images are not those of the storage.

        :param images: how many it has that tags name.
        """
        situations.become_other_cluster(self.state, images)

    def hide_image_streams(self) -> None:
        """Every image stream seems to be gone (404), until :meth:`clear_faults`."""
        self.api_faults.add(situations.IMAGE_STREAMS_HIDDEN)

    def unmount_storage(self) -> None:
        """The pods find an empty folder where their storage was, until :meth:`mount_storage`."""
        situations.unmount_storage(self.state)

    def mount_storage(self) -> None:
        """The storage is back; what was written meanwhile is gone, as what is below a mount."""
        situations.mount_storage(self.state)

    def stop_operator(self) -> None:
        """Stop the registry's operator."""
        self.wait_for(self.cluster.stop_operator())

    def start_operator(self) -> None:
        """Start the registry's operator."""
        self.call(lambda cluster: cluster.start_operator())

    def stop_api_server(self) -> None:
        """Kill the API server: nobody can connect, every open connection is cut, watches and execs included.

        Objects, pods and what works in them live on; so do the controllers, the kubelet and the operator, which in a
        real cluster stand still meanwhile. The methods of this class work on.
        """
        self.wait_for(self.cluster.stop_api_server())

    def start_api_server(self) -> None:
        """Start it again, at the same address."""
        self.wait_for(self.cluster.start_api_server())

    @property
    def api_server_running(self) -> bool:
        """Whether it can be reached."""
        return self.call(lambda cluster: cluster.api_server_running)

    def hold_readiness(self) -> None:
        """From now on no container becomes ready."""
        self.call(lambda cluster: cluster.kubelet.readiness_allowed.clear())

    def allow_readiness(self) -> None:
        """Containers become ready again, those that were held too."""
        self.call(lambda cluster: cluster.kubelet.readiness_allowed.set())

    def evict(self, pod: str, namespace: str = NAMESPACE, message: str = EVICTION_MESSAGE) -> None:
        """Evict a pod: its processes are killed, its phase is Failed, its object stays.

        :raises KeyError: no such pod runs.
        """
        self.call(lambda cluster: cluster.kubelet.evict(namespace, pod, message))

    def restart_container(self, pod: str, namespace: str = NAMESPACE, container: str | None = None) -> None:
        """Kill all processes of a pod's container at once, as when it is out of memory; the kubelet starts it anew.

        Returns when they have ended. The pod stays, and so do its ``/dev/shm`` and its emptyDirs; ``restartCount``
        rises when the container runs again.

        :param container: default is the pod's first one.
        :raises KeyError: no such pod runs, or it has no such container.
        """
        self.wait_for(self.cluster.kubelet.restart_container(namespace, pod, container))

    def lose_node(self, name: str, *, power_off: bool = False) -> None:
        """Nobody hears from a node any more.

        :param power_off: its processes end; otherwise they go on.
        """
        self.wait_for(self.cluster.kubelet.lose_node(name, power_off=power_off))

    def return_node(self, name: str) -> None:
        """The node is back."""
        self.call(lambda cluster: cluster.kubelet.return_node(name))
