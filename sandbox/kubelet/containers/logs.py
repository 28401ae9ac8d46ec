"""The answer to ``GET pods/NAME/log``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.kubelet.containers.container import Container
from sandbox.kubelet.containers.container_log import LogLine, follow_lines, read_lines
from sandbox.server.errors import ApiError


def _is_set(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "true")


def _since(request: web.Request) -> str:
    """The time from which on lines are wanted; comparable as text with a line's time."""
    if seconds := request.query.get("sinceSeconds"):
        return f"{datetime.now(UTC) - timedelta(seconds=int(seconds)):%Y-%m-%dT%H:%M:%S.%f}"
    return request.query.get("sinceTime", "").removesuffix("Z")


async def serve_log(
    request: web.Request, pod_name: str, container: Container, follow: bool, tail_lines: int | None
) -> web.StreamResponse:
    """Stream a container's log; ``timestamps``, ``sinceSeconds``, ``sinceTime`` and ``previous`` are honoured.

    :raises ApiError: 400, there is no log (yet).
    """
    run = container.restarts
    if _is_set(request, "previous"):
        run -= 1
        if run < 0:
            raise ApiError.bad_request(
                f'previous terminated container "{container.name}" in pod "{pod_name}" not found'
            )
    path = container.log_path(run)
    if not path.exists():
        raise ApiError.bad_request(
            f'container "{container.name}" in pod "{pod_name}" is waiting to start: {container.waiting_reason}'
        )
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    since, timestamps = _since(request), _is_set(request, "timestamps")
    try:
        if follow and run == container.restarts:
            async for line in follow_lines(path, tail_lines, container.ended):
                await _write(response, line, since, timestamps)
        else:
            for line in read_lines(path, tail_lines):
                await _write(response, line, since, timestamps)
        await response.write_eof()
    except ConnectionError:
        # The reader has had enough: nobody is left to tell.
        pass
    return response


async def _write(response: web.StreamResponse, line: LogLine, since: str, timestamps: bool) -> None:
    if line.time >= since:
        await response.write(line.time.encode() + b" " + line.text if timestamps else line.text)
