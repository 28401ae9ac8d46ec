"""Where the registry servers report pushes: their webhook, on loopback.

OpenShift's registry makes the Image before it answers a push. ``docker-registry`` reports afterwards, from a queue in
memory that is lost with the process; so what its log shows as accepted and nobody has reported is made up for when
the process has ended. The line is in the log before the client has its answer.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from aiohttp import web

from sandbox.base.settings import LOOPBACK
from sandbox.real_registry.pushed_images import PushedImages

_PATH = "/pushes"
_SHUTDOWN_SECONDS = 0.1
_ACCEPTED = re.compile(
    r' msg="response completed" .*http\.request\.id=(?P<request>\S+) http\.request\.method=PUT '
    r'.*http\.request\.uri="?/v2/(?P<repository>\S+)/manifests/(?P<reference>[^\s"?]+).* http\.response\.status=201 '
)


class PushNotifications:
    """Receives the notifications of a sandbox's registries.

    :param images: makes the objects.
    """

    def __init__(self, images: PushedImages) -> None:
        self.url = ""
        self.authorization = f"Bearer {secrets.token_hex(16)}"
        self._images = images
        self._seen: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        application = web.Application()
        application.router.add_post(_PATH, self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}{_PATH}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != self.authorization:
            return web.Response(status=401)
        for event in (await request.json())["events"]:
            target = event["target"]
            if event["action"] == "push" and "digest" in target:
                self._record(event["request"]["id"], target["repository"], target["digest"], target.get("tag"))
        return web.Response()

    def catch_up(self, log: Path) -> None:
        """Make what a registry that has ended had accepted and not reported.

        :param log: what it printed; no such file, nothing printed.
        """
        if not log.exists():
            return
        with log.open(errors="replace") as lines:
            for line in lines:
                if "/manifests/" in line and (match := _ACCEPTED.search(line)):
                    reference = match["reference"]
                    is_digest = ":" in reference
                    digest = reference if is_digest else self._images.tagged(match["repository"], reference)
                    self._record(match["request"], match["repository"], digest, None if is_digest else reference)

    def _record(self, request_id: str, repository: str, digest: str | None, tag: str | None) -> None:
        if request_id not in self._seen:
            self._seen.add(request_id)
            if digest is not None:
                self._images.record(repository, digest, tag)
