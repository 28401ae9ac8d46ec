"""A very small Kubernetes API: lists, objects, status, deletion, and refusals to order."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

JsonObject = dict[str, Any]
TOKEN = "the-token"
USER = "system:serviceaccount:openshift-image-registry:registry"


class TinyApi:
    """Serves objects on a free loopback port while it is used as a context.

    :ivar forbidden: resources (``images.image.openshift.io``) that the user may not list.
    :ivar answers: statuses to give to the next requests, with the seconds of a Retry-After each.
    :ivar conflicts: so many of the next updates find that the object has changed.
    :ivar requests: method and path of each request so far.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], JsonObject] = {}
        self.forbidden: set[str] = set()
        self.answers: list[tuple[int, int | None]] = []
        self.requests: list[tuple[str, str]] = []
        self.keeps_status_on_create = True
        self.conflicts = 0
        self._version = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in two packets: without this each answer waits 40 ms for the first ACK.
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                api.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Tests show what matters themselves."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> TinyApi:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write_kubeconfig(self, path: Path, *, token: str = TOKEN, server: str | None = None) -> Path:
        path.write_text(
            json.dumps(
                {
                    "current-context": "it",
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                    "clusters": [{"name": "it", "cluster": {"server": server or self.url}}],
                    "users": [{"name": "it", "user": {"token": token}}],
                }
            )
        )
        return path

    def put(self, resource: str, value: JsonObject) -> JsonObject:
        """Store an object as it is."""
        metadata = value["metadata"]
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        metadata.setdefault("creationTimestamp", "2026-11-23T17:42:12Z")
        self.objects[resource, metadata.get("namespace"), metadata["name"]] = value
        return value

    def of(self, resource: str) -> list[JsonObject]:
        """All objects of a resource."""
        return [value for (kind, _, _), value in sorted(self.objects.items(), key=str) if kind == resource]

    def get(self, resource: str, name: str, namespace: str | None = None) -> JsonObject:
        return self.objects[resource, namespace, name]

    def remove(self, resource: str, name: str, namespace: str | None = None) -> None:
        del self.objects[resource, namespace, name]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        self.requests.append((handler.command, handler.path))
        retry_after = None
        if self.answers:
            status, retry_after = self.answers.pop(0)
            content: JsonObject = {}
        elif handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, content = 401, _status(401, "Unauthorized", "Unauthorized")
        else:
            status, content = self._serve(handler.command, handler.path, body)
        payload = json.dumps(content).encode() if content else b""
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(payload)))
        if retry_after is not None:
            handler.send_header("Retry-After", str(retry_after))
        handler.end_headers()
        handler.wfile.write(payload)

    def _serve(self, method: str, path: str, body: JsonObject | None) -> tuple[int, JsonObject]:
        resource, namespace, name, subresource = _parsed(urlsplit(path).path)
        plural, _, group = resource.partition(".")
        if resource in self.forbidden:
            return 403, _status(
                403,
                "Forbidden",
                f'{resource} is forbidden: User "{USER}" cannot list resource "{plural}" in API group '
                f'"{group}" at the cluster scope',
            )
        if method == "POST" and body is not None:
            return self._create(resource, namespace, body)
        if not name:
            return 200, self._list(resource, namespace, parse_qs(urlsplit(path).query))
        found = self.objects.get((resource, namespace, name))
        if found is None:
            return 404, _status(404, "NotFound", f'{resource} "{name}" not found')
        if method == "DELETE":
            return 200, self.objects.pop((resource, namespace, name))
        if method == "PUT" and body is not None:
            if self.conflicts:
                self.conflicts -= 1
                found = self.put(resource, {**found, "metadata": dict(found["metadata"])})
            if body["metadata"].get("resourceVersion") not in (None, found["metadata"]["resourceVersion"]):
                return 409, _status(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}"')
            assert subresource == "status"
            return 200, self.put(resource, {**found, "status": body["status"]})
        return 200, found

    def _create(self, resource: str, namespace: str | None, body: JsonObject) -> tuple[int, JsonObject]:
        name = body["metadata"]["name"]
        if (resource, namespace, name) in self.objects:
            return 409, _status(409, "AlreadyExists", f'{resource} "{name}" already exists')
        if not self.keeps_status_on_create:
            body.pop("status", None)
        return 201, self.put(resource, body)

    def _list(self, resource: str, namespace: str | None, query: dict[str, list[str]]) -> JsonObject:
        items = [
            value for value in self.of(resource) if namespace is None or value["metadata"].get("namespace") == namespace
        ]
        start, metadata = int(query.get("continue", ["0"])[0]), {}
        end = start + int(query["limit"][0]) if "limit" in query else len(items)
        if end < len(items):
            metadata["continue"] = str(end)
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items[start:end]}


def _parsed(path: str) -> tuple[str, str | None, str, str]:
    words = path.strip("/").split("/")
    group, words = ("", words[2:]) if words[0] == "api" else (words[1], words[3:])
    namespace = None
    if words[0] == "namespaces" and len(words) > 2:
        namespace, words = words[1], words[2:]
    plural, name, subresource = [*words, "", ""][:3]
    return f"{plural}.{group}" if group else plural, namespace, name, subresource


def _status(code: int, reason: str, message: str) -> JsonObject:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
