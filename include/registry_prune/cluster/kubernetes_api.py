"""How the API server is asked: limits, retries, errors, pages.

Objects come and go as JSON, so that pure modules can read them without the client's models.
"""

from __future__ import annotations

import base64
import http.client
import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import urllib3
from kubernetes import client
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from include.registry_prune.cluster import requests
from include.registry_prune.cluster.error import ClusterError, not_trusted
from include.registry_prune.cluster.requests import Request

LONGEST_RETRY_AFTER_SECONDS = 10.0
"""A server that asks for more patience is asked again after so long all the same: the registry may be read-only
meanwhile, and a task that closes its window does not let a header say how long."""
_CONNECT_AND_READ_SECONDS = (5, 30)
# http.client's errors come through where an answer breaks off while its body is read.
_TRANSPORT_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


class _BoundedRetry(urllib3.Retry):
    def increment(
        self, method: Any = None, url: Any = None, response: Any = None, error: Any = None, *rest: Any, **more: Any
    ) -> Self:
        """One try less; none is left where the server's certificate is not trusted."""
        if not_trusted(error) is not None:
            raise urllib3.exceptions.MaxRetryError(more["_pool"], url, error)
        return super().increment(method, url, response, error, *rest, **more)

    def get_retry_after(self, response: Any) -> float | None:
        """What the ``Retry-After`` header asks for, in bounds."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_RETRY_AFTER_SECONDS)


# Only what may be repeated without a thought is repeated here; writes are repeated by those who know what they mean.
_RETRIES = _BoundedRetry(
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

    @property
    def token_expires_at(self) -> datetime | None:
        """When the account's token expires; None if it has none, one that does not tell, or one that is renewed by
        itself (in a pod, or by a command of the kubeconfig)."""
        if _is_renewed(self.configuration.refresh_api_key_hook):
            return None
        key = self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return token_expires_at(str(key or ""))

    def new_api_client(self) -> client.ApiClient:
        """A client for one exec alone: ``kubernetes.stream`` replaces its ``request`` while it works."""
        return client.ApiClient(configuration=self.configuration)

    def _send(self, request: Request, *, read_seconds: float | None = None) -> urllib3.BaseHTTPResponse:
        timeout = (_CONNECT_AND_READ_SECONDS[0], read_seconds or _CONNECT_AND_READ_SECONDS[1])
        try:
            response: urllib3.BaseHTTPResponse = self._api.call_api(
                request.path,
                request.method,
                query_params=list(request.query.items()),
                header_params={"Accept": "application/json", "Content-Type": request.content_type},
                body=request.body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
        except client.ApiException as error:
            body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            raise request.refused(self.server, error.status or 0, body or str(error.reason)) from error
        except _TRANSPORT_ERRORS as error:
            raise request.unreachable(self.server, error) from error
        return response

    def _json(self, request: Request) -> dict[str, Any]:
        response = self._send(request)
        try:
            answer = response.data
        except _TRANSPORT_ERRORS as error:
            raise request.unreachable(self.server, error) from error
        return request.read(self.server, answer)

    def _json_or_none(self, request: Request) -> dict[str, Any] | None:
        try:
            return self._json(request)
        except ClusterError as error:
            if error.status in request.missing:
                return None
            raise

    def _lines(self, request: Request, *, silence_seconds: float) -> Iterator[bytes]:
        """The lines of an answer as they come, without line ends.

        :param silence_seconds: how long nothing may come before it is an error.
        :raises ClusterError: if it is refused or breaks off.
        """
        response = self._send(request, read_seconds=silence_seconds)
        rest = b""
        try:
            for chunk in response.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except _TRANSPORT_ERRORS as error:
            raise request.unreachable(self.server, error) from error
        finally:
            response.close()
        if rest:
            yield rest

    def _pages(self, path: str, *, per_page: int) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        while True:
            page = self._json(requests.page(path, page, per_page=per_page))
            yield from page["items"]
            if not page["metadata"].get("continue"):
                return


def _is_renewed(hook: Callable[..., None] | None) -> bool:
    """Whether a token is renewed by itself. The client has a hook for that with every token of a kubeconfig, also with
    one that stands there and is never renewed; whose hook it is shows."""
    if hook is None:
        return False
    user = getattr(inspect.getclosurevars(hook).nonlocals.get("self"), "_user", None)
    return user is None or "exec" in user or "auth-provider" in user


def token_expires_at(authorization: str) -> datetime | None:
    """When a token ends.

    :param authorization: the header. A service account's token is a JWT, which carries its end (``exp``); a person's
        (``sha256~…``) does not tell.
    :return: None if it does not tell.
    """
    parts = authorization.removeprefix("Bearer ").strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None
