"""A command in a pod: the lines of its two output streams, in constant memory, and how it ended.

The connection is the Kubernetes client's (credentials, TLS, proxy); its frames are read here, because the client's
own readers keep everything in memory, do not see data that TLS has read ahead, and turn a lost connection into a
``TypeError``. An end without an exit status is *unknown*, never success: the command lives on in the container.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import websocket
from kubernetes import client
from kubernetes.stream import stream
from websocket import ABNF, WebSocket, WebSocketException, WebSocketTimeoutException

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError, status_message
from include.registry_prune.cluster.exec_channels import BlockHandler, Channels, ExecEnd, LineHandler
from include.registry_prune.names import NAMESPACE, REGISTRY_CONTAINER

CONNECT_SECONDS = 30.0
"""How long the handshake of an exec may take."""
PING_SECONDS = 10.0
"""How often a silent connection is pinged."""
LOST_AFTER_SECONDS = 45.0
"""After this long without any frame, not even a pong, a connection is lost."""
AFTER_STATUS_SECONDS = 2.0
"""How long to wait for the close frame once the exit status has come."""
PODS_AT_ONCE = 16
"""In how many pods the same is done at once."""
_STDIN = b"\0"
"""Channel of the standard input."""
_KEPT_LINES = 5
_HANDSHAKE_SEPARATOR = "-+-+-"
Pod = TypeVar("Pod")
Result = TypeVar("Result")


def run_in_pod(
    cluster: Cluster,
    pod: str,
    command: Sequence[str],
    on_line: LineHandler | None = None,
    *,
    on_block: BlockHandler | None = None,
    limit_seconds: float | None = None,
) -> ExecEnd:
    """Run a command in a pod's registry container and wait for its end.

    :param pod: name of the pod.
    :param command: program and arguments.
    :param on_line: called with the stream and each line, without its line end, as it comes.
    :param on_block: called instead with the stream and many lines at once, as bytes, for output of any size.
    :param limit_seconds: how long to wait; after that the end is unknown, and the command lives on.
    :raises ClusterError: if the exec was refused, so that the command was not started.
    """
    socket = _connect(cluster, pod, command)
    channels = Channels(on_line, on_block=on_block)
    try:
        how = _read(socket, channels, limit_seconds)
    finally:
        socket.close(timeout=1)
    return channels.end(how)


def feed_pod(
    cluster: Cluster, pod: str, command: Sequence[str], blocks: Iterable[bytes], *, limit_seconds: float
) -> tuple[ExecEnd, str]:
    """Run a command in a pod's registry container, and hand it its standard input.

    The command has to know where its input ends: protocols before v5 cannot close it.

    :param blocks: the input, in blocks of at most some hundred KiB.
    :param limit_seconds: how long to wait for its end once all is handed over.
    :return: how it ended, and the end of what it printed.
    :raises ClusterError: if the exec was refused, or the connection broke while the input was handed over.
    """
    lines: list[str] = []
    socket = _connect(cluster, pod, command, stdin=True)
    channels = Channels(lambda _stream, line: lines.append(line))
    try:
        for block in blocks:
            socket.send_binary(_STDIN + block)
        how = _read(socket, channels, limit_seconds)
    except (WebSocketException, OSError) as error:
        raise ClusterError(f"pod {pod}: the connection broke while its input was handed over: {error}") from error
    finally:
        socket.close(timeout=1)
    return channels.end(how), "\n".join(lines[-_KEPT_LINES:])


def in_each_pod(pods: Sequence[Pod], work: Callable[[Pod], Result]) -> list[Result]:
    """The same in every pod, at once: the registry may be read-only meanwhile. What the first one raised is raised."""
    if not pods:
        return []
    with ThreadPoolExecutor(max_workers=min(len(pods), PODS_AT_ONCE)) as threads:
        return list(threads.map(work, pods))


def _connect(cluster: Cluster, pod: str, command: Sequence[str], *, stdin: bool = False) -> WebSocket:
    api = client.CoreV1Api(cluster.new_api_client())
    # The Kubernetes client sets no limit of its own: an API server that accepts and then says nothing would hang it.
    websocket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        connection = stream(
            api.connect_get_namespaced_pod_exec,
            pod,
            NAMESPACE,
            container=REGISTRY_CONTAINER,
            command=list(command),
            stdin=stdin,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
            binary=True,
        )
    except (client.ApiException, AttributeError) as error:
        # The handshake's answer is in the reason alone, with status 0; and client 36.0 stumbles over the missing body.
        refusal = error if isinstance(error, client.ApiException) else error.__context__
        reason = str(getattr(refusal, "reason", error))
        status = next((code for code in (401, 403, 404, 500, 503) if f"status {code}" in reason), 0)
        message = status_message(reason.rpartition(_HANDSHAKE_SEPARATOR)[2])
        raise ClusterError(f"exec in pod {pod} was refused: {message}", status) from error
    socket: WebSocket = connection.sock
    return socket


def _read(socket: WebSocket, channels: Channels, limit_seconds: float | None) -> str:
    """Read frames to the end of the connection; returns how it ended."""
    started = last_frame = time.monotonic()
    while True:
        now = time.monotonic()
        remaining = math.inf if limit_seconds is None else started + limit_seconds - now
        if remaining <= 0:
            return f"no end after {limit_seconds:.0f} s"
        # Once the status has come, output may still be under way behind it; the close frame ends it.
        socket.settimeout(min(AFTER_STATUS_SECONDS if channels.has_status else PING_SECONDS, remaining))
        if now - last_frame > LOST_AFTER_SECONDS:
            return f"the connection was silent for {LOST_AFTER_SECONDS:.0f} s and pings were not answered"
        try:
            opcode, frame = socket.recv_data_frame(True)
        except WebSocketTimeoutException:
            if channels.has_status:
                return "the status came"
            with suppress(WebSocketException, OSError):
                # A connection that cannot even be pinged shows it at the next read.
                socket.ping()
            continue
        except (WebSocketException, OSError) as error:
            return f"the connection was lost: {error}"
        last_frame = time.monotonic()
        if opcode == ABNF.OPCODE_CLOSE:
            return "the connection was closed without a status"
        if opcode in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT):
            channels.feed(frame.data)
