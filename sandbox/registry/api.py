"""A small client of the Kubernetes API for the stand-ins: standard library only, errors in client-go's words."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from sandbox.server.objects.resources import resource_type

IMAGES = "images.image.openshift.io"
IMAGE_STREAMS = "imagestreams.image.openshift.io"
MANAGED_ANNOTATION = "openshift.io/image.managed"
"""``true`` on an Image whose content this cluster's registry holds."""
JsonObject = dict[str, Any]

_VERBS = {"GET": "get", "POST": "post", "PUT": "put", "DELETE": "delete", "PATCH": "patch"}
_ATTEMPTS = 10


class ApiFailureError(Exception):
    """The API refused, or nobody answered.

    :param message: what client-go prints.
    :param code: HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ApiClient:
    """Requests to one API server over one connection that is kept open.

    :param url: ``https://host:port``.
    :param token: bearer token, or a file that holds it (read for each connection).
    :param authority: PEM of the server's CA; without it the certificate is not checked.
    :param timeout: seconds for each step of a request; None waits for ever, as client-go does.
    """

    def __init__(self, url: str, token: str | Path, authority: str | None, timeout: float | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._bearer = ""
        self._timeout = timeout
        self._secure = urlsplit(url).scheme == "https"
        self._tls = _tls_context(authority) if self._secure else None
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path, timeout: float | None = None) -> Self:
        """The client of the kubeconfig's current context. Knows bearer tokens only.

        :raises ApiFailureError: the file is missing or does not name a server and a token.
        """
        try:
            config = _parsed(path.read_text())
            context = _named(config["contexts"], config["current-context"])["context"]
            cluster = _named(config["clusters"], context["cluster"])["cluster"]
            user = _named(config["users"], context["user"])["user"]
            return cls(cluster["server"], _user_token(user), _authority(cluster), timeout)
        except (OSError, KeyError, StopIteration, TypeError, ValueError) as error:
            raise ApiFailureError(f"invalid configuration: {path}: {error!r}") from error

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], timeout: float | None = None) -> Self:
        """The client that a process in a pod uses: KUBECONFIG if set, else its service account.

        :raises ApiFailureError: neither is there.
        """
        if environ.get("KUBECONFIG"):
            return cls.from_kubeconfig(Path(environ["KUBECONFIG"]), timeout)
        try:
            host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
            account = Path(environ["SANDBOX_SERVICE_ACCOUNT_DIRECTORY"])
            authority = (account / "ca.crt").read_text()
            return cls(f"https://{host}:{port}", account / "token", authority, timeout)
        except (KeyError, OSError) as error:
            raise ApiFailureError(
                "invalid configuration: no configuration has been provided, "
                "try setting KUBERNETES_MASTER environment variable"
            ) from error

    def get(self, resource: str, name: str, namespace: str | None = None) -> JsonObject:
        """One object."""
        return self._request("GET", resource, f"{_collection(resource, namespace)}/{name}")

    def list(self, resource: str, namespace: str | None = None) -> list[JsonObject]:
        """All objects of a resource in one unpaged list."""
        return list(self._request("GET", resource, _collection(resource, namespace)).get("items") or [])

    def pages(self, resource: str, limit: int) -> Iterator[JsonObject]:
        """All objects of a resource, asked for in pages."""
        parameters = {"limit": str(limit)}
        while True:
            page = self._request("GET", resource, f"{_collection(resource, None)}?{urlencode(parameters)}")
            yield from page.get("items") or []
            if not page.get("metadata", {}).get("continue"):
                return
            parameters["continue"] = page["metadata"]["continue"]

    def create(self, resource: str, created: JsonObject) -> JsonObject:
        """Add an object."""
        return self._request("POST", resource, _collection(resource, _namespace_of(created)), created)

    def replace(self, resource: str, changed: JsonObject) -> JsonObject:
        """Replace an object; its status stays, if it has one of its own."""
        path = f"{_collection(resource, _namespace_of(changed))}/{changed['metadata']['name']}"
        return self._request("PUT", resource, path, changed)

    def replace_status(self, resource: str, changed: JsonObject) -> JsonObject:
        """Replace the status of an object."""
        path = f"{_collection(resource, _namespace_of(changed))}/{changed['metadata']['name']}/status"
        return self._request("PUT", resource, path, changed)

    def delete(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Remove an object."""
        self._request("DELETE", resource, f"{_collection(resource, namespace)}/{name}")

    def close(self) -> None:
        """Let go of the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, method: str, resource: str, path: str, body: JsonObject | None = None) -> JsonObject:
        content = None if body is None else json.dumps(body).encode()
        for attempt in range(_ATTEMPTS):
            status, retry_after, answer = self._answer(method, path, content)
            if status < 400:
                return _object_in(answer)
            # client-go waits and asks again when it is told to.
            if not retry_after.isdecimal() or not (status == 429 or status >= 500):
                break
            if attempt + 1 < _ATTEMPTS:
                time.sleep(int(retry_after))
        raise _failure(method, resource, path, status, answer)

    def _answer(self, method: str, path: str, content: bytes | None) -> tuple[int, str, bytes]:
        reused = self._connection is not None
        try:
            connection = self._connection or self._connect()
            headers = {"Authorization": f"Bearer {self._bearer}", "Accept": "application/json"}
            if content is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Retry-After", ""), response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # The server may have closed a connection that was idle: that is no failure.
            if reused and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                return self._answer(method, path, content)
            url = f"{self.url}{path}"
            raise ApiFailureError(f'{method.capitalize()} "{url}": {self._cause(error)}') from error

    def _connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        self._bearer = self._token if isinstance(self._token, str) else self._token.read_text().strip()
        if self._secure:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        connection.connect()
        # Small requests one after the other: without this each would wait for the kernel to gather more.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        return connection

    def _cause(self, error: Exception) -> str:
        address = urlsplit(self.url).netloc
        if isinstance(error, ConnectionRefusedError):
            return f"dial tcp {address}: connect: connection refused"
        if isinstance(error, ssl.SSLCertVerificationError):
            return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {urlsplit(self.url).hostname}: no such host"
        if isinstance(error, TimeoutError):
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return "EOF"


def _collection(resource: str, namespace: str | None) -> str:
    return resource_type(resource).collection_path(namespace)


def _namespace_of(value: JsonObject) -> str | None:
    namespace: str | None = value["metadata"].get("namespace")
    return namespace


def _object_in(answer: bytes) -> JsonObject:
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise ApiFailureError(f"the answer is no JSON: {answer[:100]!r}") from error
    return found if isinstance(found, dict) else {}


def _failure(method: str, resource: str, path: str, status: int, answer: bytes) -> ApiFailureError:
    try:
        told = json.loads(answer)
        return ApiFailureError(told["message"], status, told.get("reason", ""))
    except (ValueError, KeyError, TypeError):
        name = path.partition("?")[0].removeprefix(_collection(resource, None)).strip("/")
        asked = f"({_VERBS[method]} {' '.join(part for part in (resource, name) if part)})"
        text = answer.decode(errors="replace").strip()
    words = {
        401: f"the server has asked for the client to provide credentials {asked}",
        404: f"the server could not find the requested resource {asked}",
        429: f"the server has received too many requests and has asked us to try again later {asked}",
        503: f"the server is currently unable to handle the request {asked}",
    }
    unknown = f'an error on the server ("{text or "unknown"}") has prevented the request from succeeding {asked}'
    return ApiFailureError(words.get(status, unknown), status)


def _tls_context(authority: str | None) -> ssl.SSLContext:
    if authority is not None:
        return ssl.create_default_context(cadata=authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _parsed(text: str) -> JsonObject:
    try:
        found = json.loads(text)
    except ValueError:
        import yaml  # not at the top: pods have no kubeconfig, and the stand-ins have to start quickly

        found = yaml.safe_load(text)
    return found if isinstance(found, dict) else {}


def _named(entries: list[JsonObject], name: str) -> JsonObject:
    return next(entry for entry in entries if entry["name"] == name)


def _user_token(user: JsonObject) -> str | Path:
    return str(user["token"]) if "token" in user else Path(user["tokenFile"])


def _authority(cluster: JsonObject) -> str | None:
    if "certificate-authority-data" in cluster:
        return base64.b64decode(cluster["certificate-authority-data"]).decode()
    if "certificate-authority" in cluster:
        return Path(cluster["certificate-authority"]).read_text()
    return None
