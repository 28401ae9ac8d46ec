"""How the API server is asked: limits, retries, errors, watches, pages.

Objects come and go as JSON, so that pure modules can read them without the client's models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import urllib3
from kubernetes import client
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from include.registry_prune.cluster.error import ClusterError, request_problem

_CONNECT_AND_READ_SECONDS = (5, 30)
# Only what may be repeated without a thought is repeated here; writes are repeated by those who know what they mean.
_RETRIES = urllib3.Retry(
    total=4,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=True,
    raise_on_status=False,
)


class KubernetesApi:
    """Requests to one API server, and what comes back, as JSON.

    :param api_client: a configured client; its configuration (server, credentials, proxy, TLS) is used.
    """

    def __init__(self, api_client: client.ApiClient) -> None:
        self.configuration = api_client.configuration
        self.configuration.retries = _RETRIES
        self._api = client.ApiClient(configuration=self.configuration)

    @classmethod
    def of_service_account(cls, directory: Path) -> Self:
        """The cluster that this process runs in, by its pod's service account.

        :param directory: where the account's ``token`` and ``ca.crt`` are mounted.
        :raises ClusterError: if this is no pod of a cluster.
        """
        configuration = client.Configuration()
        loader = InClusterConfigLoader(token_filename=str(directory / "token"), cert_filename=str(directory / "ca.crt"))
        try:
            loader.load_and_set(configuration)
        except ConfigException as error:
            raise ClusterError(f"This is no pod of a cluster: {error}") from error
        return cls(client.ApiClient(configuration=configuration))

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self.configuration.host)

    def new_api_client(self) -> client.ApiClient:
        """A client for one exec alone: ``kubernetes.stream`` replaces its ``request`` while it works."""
        return client.ApiClient(configuration=self.configuration)

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        read_seconds: float | None = None,
    ) -> Any:
        timeout = (_CONNECT_AND_READ_SECONDS[0], read_seconds or _CONNECT_AND_READ_SECONDS[1])
        try:
            return self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
        except client.ApiException as error:
            body_text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            message = request_problem(method, path, self.server, error.status or 0, body_text or str(error.reason))
            raise ClusterError(message, error.status or 0) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(
                f"{method} {path}: the API server {self.server} cannot be reached: {error}. "
                "Check the connection's server, network and proxy."
            ) from error

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self._request(method, path, **arguments)
        try:
            value = json.loads(response.data)
        except ValueError as error:
            raise ClusterError(f"{method} {path} at {self.server}: the answer is no JSON") from error
        if not isinstance(value, dict):
            raise ClusterError(f"{method} {path} at {self.server}: the answer is no object")
        return value

    def _json_or_none(self, method: str, path: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            return self._json(method, path, **arguments)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def _merge(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        return self._json("PATCH", path, body=patch, content_type="application/merge-patch+json")

    def watch(self, path: str, query: Mapping[str, Any], *, seconds: int) -> Iterator[dict[str, Any]]:
        """Events of a collection, beginning with its present state, until the API server ends the watch.

        :param path: of the collection, such as ``PODS``.
        :param seconds: how long the API server keeps the watch open.
        :raises ClusterError: if it is refused or breaks off.
        """
        options = {**query, "watch": "true", "timeoutSeconds": seconds}
        response = self._request("GET", path, query=options, read_seconds=seconds + 10)
        try:
            for line in lines_of(response):
                yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(f"The watch of {path} broke off: {error}") from error
        finally:
            response.close()

    def _pages(self, path: str, *, per_page: int) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"limit": per_page}
        while True:
            page = self._json("GET", path, query=query)
            yield from page["items"]
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]


def lines_of(response: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The lines of an answer as they come, without line ends."""
    rest = b""
    for chunk in response.stream(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
