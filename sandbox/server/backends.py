"""What the API server asks of the kubelet: the hook behind ``pods/exec`` and ``pods/log``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web


class KubeletRefusedError(Exception):
    """The kubelet answers that it does not run this: raise it *before* the WebSocket is accepted.

    The API server passes it on as the real one does: to a v5 client (kubectl) in the error channel of an
    accepted WebSocket, to a v4 client (Python) as HTTP 500 with the plain text
    (transcripts/cluster/exec-cases.txt: "container runtime is down", ``container not found ("registry")``).
    """


class KubeletUnreachableError(Exception):
    """Nobody answers on the kubelet's address; the message is the cause (``dial tcp …: refused``)."""


@dataclass(frozen=True)
class ExecCommand:
    """What is run in a container, and which of its streams the client asks for.

    :param tty: both output streams come as one.
    """

    words: list[str]
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class PodBackend(Protocol):
    """Runs commands in pods and shows their logs.

    The server has authenticated and authorized the request and found pod and container before it calls.
    """

    async def exec(
        self, request: web.Request, pod: dict[str, Any], container: str, command: ExecCommand
    ) -> web.StreamResponse:
        """Accept the WebSocket of ``request`` and run ``command`` in the container.

        :param request: a GET that asks for an upgrade to WebSocket.
        :param pod: a copy of the Pod; the container is running according to its status.
        :raises KubeletRefusedError, KubeletUnreachableError: before the WebSocket was prepared.
        """
        ...

    async def logs(
        self,
        request: web.Request,
        pod: dict[str, Any],
        container: str,
        follow: bool,
        tail_lines: int | None,
    ) -> web.StreamResponse:
        """Answer with the container's log as plain text.

        :param follow: keep the answer open until the container ends.
        :param tail_lines: only that many last lines; None for all.
        """
        ...
