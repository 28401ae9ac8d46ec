"""What the base prune asks the registry over HTTP, done to the storage: deletions, if the registry takes them."""

from __future__ import annotations

from sandbox.base.names import NAMESPACE, POD_LABELS, READ_ONLY_VARIABLE
from sandbox.registry.api import ApiClient, JsonObject
from sandbox.registry.storage.layout import StorageLayout


class RegistryServiceError(Exception):
    """The registry does not answer, or refuses."""


class RegistryService:
    """The registry as a client sees it.

    :param url: how error messages call it.
    """

    def __init__(self, api: ApiClient, storage: StorageLayout, url: str) -> None:
        self._api = api
        self._storage = storage
        self._url = url
        self._read_only = False

    def ping(self) -> None:
        """Look which registry pods there are, and whether they take deletions.

        :raises RegistryServiceError: there is no pod.
        """
        pods = [pod for pod in self._api.list("pods", NAMESPACE) if _is_serving(pod)]
        if not pods:
            raise RegistryServiceError(f'Get "{self._url}/": dial tcp: connect: connection refused')
        self._read_only = all(_is_read_only(pod) for pod in pods)

    def delete_layer_link(self, repository: str, digest: str) -> None:
        """:raises RegistryServiceError: the registry is read-only."""
        self._check_writable()
        self._storage.unlink_layer(repository, digest)

    def delete_manifest(self, repository: str, digest: str) -> None:
        """:raises RegistryServiceError: the registry is read-only."""
        self._check_writable()
        self._storage.unlink_manifest(repository, digest)

    def delete_blob(self, digest: str) -> None:
        """:raises RegistryServiceError: the registry is read-only."""
        self._check_writable()
        self._storage.remove_blob(digest)

    def _check_writable(self) -> None:
        if self._read_only:
            raise RegistryServiceError("405 Method Not Allowed")


def _is_serving(pod: JsonObject) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.items() >= POD_LABELS.items() and pod.get("status", {}).get("phase") == "Running"


def _is_read_only(pod: JsonObject) -> bool:
    containers = pod.get("spec", {}).get("containers") or []
    return any(
        variable["name"] == READ_ONLY_VARIABLE for container in containers for variable in container.get("env") or []
    )
