"""Answers as aiohttp sends them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.server.errors import ApiError
from sandbox.server.objects.collection import encode


def raw_json(body: bytes, code: int = 200) -> web.Response:
    """JSON that is encoded already."""
    return web.Response(body=body, status=code, content_type="application/json")


def json_response(value: Any, code: int = 200, content_type: str = "application/json") -> web.Response:
    """A JSON answer."""
    response = raw_json(encode(value), code)
    response.headers["Content-Type"] = content_type
    return response


def error_response(error: ApiError) -> web.Response:
    """The Status of an error."""
    response = json_response(error.status(), error.code)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def cut_connection(request: web.Request) -> web.Response:
    """Cut the client's connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
