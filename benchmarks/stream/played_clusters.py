"""Many clusters at once, played: each with a window that a run holds, and a delete at work in a pod.

A real sandbox for each would not fit into one machine, nor would their shells. What is played is what following a
delete asks for, over TLS, with answers as the API server and the shell in the pod give them: the Config CR (read,
patched, watched), the pods, an Image, and looks at the delete. A client's URL ends with ``/NUMBER``: the cluster's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from benchmarks.stream.followed_delete import ARMED_AT, HOLDER, POD, POD_UID
from include.registry_prune.cluster.registry_state import READ_ONLY_ENVIRONMENT
from include.registry_prune.deletion.detached_delete import FIRST_SEGMENT
from include.registry_prune.names import REGISTRY_CONTAINER
from include.registry_prune.window.lease import ANNOTATION, Lease
from sandbox.server.access.certificates import ServerCertificate, server_context
from sandbox.server.access.kubeconfig import kubeconfig

SECONDS_PER_BLOB = 2.0
_CONFIGS = "/apis/imageregistry.operator.openshift.io/v1/configs"
_PODS = "/api/v1/namespaces/openshift-image-registry/pods"
_IMAGES = "/apis/image.openshift.io/v1/images"
_IMAGE = {"metadata": {"name": f"sha256:{'ab' * 32}", "resourceVersion": "1"}}
_READ_ONLY = {"name": READ_ONLY_ENVIRONMENT, "value": "{enabled: true}"}
_POD = {
    "metadata": {"name": POD, "uid": POD_UID, "labels": {"docker-registry": "default"}},
    "spec": {
        "containers": [
            {"name": REGISTRY_CONTAINER, "env": [{"name": READ_ONLY_ENVIRONMENT, "value": "{enabled: true}"}]}
        ]
    },
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
"""Two hundred looks at once are late now and then: then it is asked whether the pod is still there."""
_SUCCESS = b'\x03{"metadata":{},"status":"Success"}'
_LATENESS = 0.01


@dataclass
class _PlayedCluster:
    """One cluster.

    :param begun: when its delete began, by the clock of :func:`time.time`.
    :param ended: when it ended; None as long as it works.
    """

    begun: float
    lease: Lease
    ended: float | None = None
    version: int = 1
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def config(self) -> dict[str, Any]:
        annotations = {ANNOTATION: self.lease.to_annotation()}
        metadata = {"name": "cluster", "resourceVersion": str(self.version), "annotations": annotations}
        return {"metadata": metadata, "spec": {"readOnly": True}}

    def blobs(self) -> int:
        return int(((self.ended or time.time()) - self.begun) / SECONDS_PER_BLOB)

    def log(self) -> bytes:
        """The pruner's log so far, as its first segment has it."""
        lines = (
            f'{{"go.version":"go1.26.6","level":"info","msg":"Deleting blob: /docker/registry/v2/blobs/sha256/00/'
            f'{number:064x}","time":"2026-11-23T17:42:12.824173696Z"}}\n'
            for number in range(self.blobs())
        )
        return b"counts 0 0 0 0\n" + "".join(lines).encode()

    def summary(self) -> bytes:
        return f"Deleted {self.blobs()} blobs\nFreed up 1GiB of disk space\n".encode()


class PlayedClusters:
    """The clusters, served by a thread as long as the ``with`` block lasts.

    :param folder: for the certificate.
    :param count: of the clusters; their numbers begin with 0.
    """

    def __init__(self, folder: Path, count: int) -> None:
        now = datetime.now(UTC)
        opened = {"armed_at": ARMED_AT, "opened_at": ARMED_AT, "expires_at": now + timedelta(minutes=15)}
        lease = Lease(holder=HOLDER, token=HOLDER, **opened)
        self._tls = folder / "tls"
        ServerCertificate.generate().write(self._tls)
        self._clusters = [_PlayedCluster(time.time(), lease) for _ in range(count)]
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="played-clusters", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the played clusters are not served after 30 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def connection(self, number: int) -> str:
        """The Airflow connection for one cluster, as JSON."""
        authority = (self._tls / "ca.crt").read_bytes()
        config = kubeconfig(f"https://127.0.0.1:{self.port}/{number}", authority, "token")
        return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": config}})

    def end(self, number: int) -> float:
        """The delete of a cluster ends now; returns when that is."""
        self._clusters[number].ended = now = time.time()
        return now

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        application = web.Application()
        application.router.add_get("/{number}" + _CONFIGS, self._watch)
        application.router.add_get("/{number}" + _CONFIGS + "/cluster", self._config)
        application.router.add_patch("/{number}" + _CONFIGS + "/cluster", self._patch)
        application.router.add_get("/{number}" + _PODS, self._pods)
        application.router.add_get("/{number}" + _IMAGES, self._images)
        application.router.add_get("/{number}" + _PODS + "/{pod}/exec", self._exec)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(self._tls)).start()
            self.port = int(runner.addresses[0][1])
            self._ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    def _of(self, request: web.Request) -> _PlayedCluster:
        return self._clusters[int(request.match_info["number"])]

    async def _config(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request).config())

    async def _patch(self, request: web.Request) -> web.Response:
        cluster = self._of(request)
        patch = await request.json()
        cluster.lease = Lease.model_validate_json(patch["metadata"]["annotations"][ANNOTATION])
        cluster.version += 1
        cluster.changed.set()
        return web.json_response(cluster.config())

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        cluster = self._of(request)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        until = time.monotonic() + float(request.query.get("timeoutSeconds", "60"))
        while (left := until - time.monotonic()) > 0:
            event = {"type": "MODIFIED", "object": cluster.config()}
            await response.write(json.dumps(event).encode() + b"\n")
            cluster.changed.clear()
            try:
                await asyncio.wait_for(cluster.changed.wait(), left)
            except TimeoutError:
                break
        return response

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        return await self._unchanging(request, _POD)

    async def _images(self, request: web.Request) -> web.StreamResponse:
        return await self._unchanging(request, _IMAGE)

    async def _unchanging(self, request: web.Request, item: dict[str, Any]) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [item]})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await asyncio.sleep(float(request.query.get("timeoutSeconds", "60")))
        return response

    async def _exec(self, request: web.Request) -> web.WebSocketResponse:
        cluster = self._of(request)
        # As detached_delete.look_command has them.
        offset, rounds, pause, often = request.query.getall("command")[-4:]
        async with _exec_socket(request) as send:
            await self._look(cluster, send, int(offset), int(rounds), float(pause), int(often))
        return send.socket

    async def _look(
        self, cluster: _PlayedCluster, send: _Sender, offset: int, rounds: int, pause: float, often: int
    ) -> None:
        for number in range(rounds):
            ended = cluster.ended is not None
            new = cluster.log()[offset:]
            if new:
                await send.line(f"log {FIRST_SEGMENT} {offset} {base64.b64encode(new).decode()}")
                offset += len(new)
            if ended:
                await send.line(f"out {base64.b64encode(cluster.summary()).decode()}")
                await send.line("ended 0 .")
                return
            if number % often == 0:
                await send.line("running")
            if number + 1 < rounds:
                # The shell's own work on top of its pause.
                await asyncio.sleep(pause + _LATENESS)


class _Sender:
    """Standard output of a command in a pod."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket

    async def line(self, text: str) -> None:
        """Print a line."""
        await self.socket.send_bytes(b"\x01" + text.encode() + b"\n")


@asynccontextmanager
async def _exec_socket(request: web.Request) -> AsyncIterator[_Sender]:
    """An exec whose command ends with the block, with exit status 0; a client that goes ends it, too."""
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), compress=False)
    await socket.prepare(request)
    try:
        yield _Sender(socket)
        await socket.send_bytes(_SUCCESS)
    except ConnectionError:
        pass
    finally:
        await socket.close()
