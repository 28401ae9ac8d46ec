"""Plain HTTP to the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import requests

from tests.sandbox.server.running_server import PATIENCE_SECONDS, Server

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class HttpClient:
    """HTTP with a bearer token; a context manager."""

    def __init__(self, server: Server, token: str) -> None:
        self._url = server.url
        self._session = requests.Session()
        # Without this the machine's own bundle of authorities would come first.
        self._session.trust_env = False
        self._session.verify = str(server.directory / "tls" / "ca.crt")
        self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self._url + path, timeout=PATIENCE_SECONDS, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    def merge_patch(self, path: str, patch: dict[str, Any]) -> requests.Response:
        return self.request("PATCH", path, data=json.dumps(patch), headers=MERGE_PATCH)

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        answer = self.get(path, params={"watch": "true", **query}, stream=True)
        assert answer.status_code == 200
        return (json.loads(line) for line in answer.iter_lines(chunk_size=1))
