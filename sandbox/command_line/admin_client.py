"""The command line's way to a sandbox that is up: its API, as cluster-admin."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from sandbox.assembly.credentials import Credentials
from sandbox.base.errors import SandboxError
from sandbox.server.objects.resources import resource_type

_TIMEOUT_SECONDS = 15.0


class AdminClient:
    """Requests to a sandbox's server.

    :param url: of the server.
    """

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._url = url
        self._token = credentials.administrator_token
        self._tls = ssl.create_default_context(cadata=credentials.authority.decode())

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask; returns the JSON of the answer.

        :raises SandboxError: the server refuses (its message) or does not answer.
        """
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=self._tls) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise SandboxError(_message(error)) from error
        except OSError as error:
            raise SandboxError(f"the sandbox at {self._url} does not answer: {error}") from error

    def list(self, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """All objects of a resource (``pods``, ``jobs.batch``)."""
        path = resource_type(resource).collection_path(namespace)
        return list(self.request("GET", path).get("items") or [])


def _message(error: urllib.error.HTTPError) -> str:
    content = error.read().decode(errors="replace")
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the sandbox answers {error.code}: {content}"
