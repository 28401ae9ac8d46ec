"""moto's S3, served on loopback, with what was ordered to go wrong in front of it.

moto keeps objects in this process's memory: they go with it. Buckets of all servers in a process are in one place, so
each sandbox has a bucket of its own name.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from sandbox.base.settings import LOOPBACK
from sandbox.object_storage.faults import (
    StoreFault,
    StoreFaults,
    error_document,
    operation_of,
    with_errors,
    without_half,
)

_CUT_AT = 0.5
Start = Callable[..., Any]
Environ = dict[str, Any]


class ObjectStorageServer:
    """S3 at ``url``, as a context manager.

    :ivar requests: how many of each operation were asked for, those that an order struck included.
    """

    def __init__(self) -> None:
        # moto takes half a second to import: only who uses it waits for it.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.faults = StoreFaults()
        self.requests: Counter[str] = Counter()
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(LOOPBACK, 0, self._serve, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="object storage", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, environ: Environ, start: Start) -> Iterable[bytes]:
        operation = operation_of(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        self.requests[operation] += 1
        if self.faults.latency:
            time.sleep(self.faults.latency)
        fault = self.faults.take(operation)
        if fault is None:
            return self._application(environ, start)  # type: ignore[no-any-return]
        if fault.effect == "answer":
            body = error_document(fault.status, fault.code)
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(f"{fault.status} Ordered", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        return self._half(environ, start, fault) if fault.effect == "half" else self._cut(environ, start)

    def _half(self, environ: Environ, start: Start, fault: StoreFault) -> Iterable[bytes]:
        body, refused = without_half(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        status, headers, answer = self._answer(environ)
        answer = with_errors(answer, refused, fault.code)
        start(status, [*((name, value) for name, value in headers if name.lower() != "content-length"),
                       ("Content-Length", str(len(answer)))])  # fmt: skip
        return [answer]

    def _cut(self, environ: Environ, start: Start) -> Iterator[bytes]:
        status, headers, answer = self._answer(environ)
        start(status, headers)
        yield answer[: int(len(answer) * _CUT_AT)]
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def _answer(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        told: list[Any] = []
        answer = b"".join(self._application(environ, lambda status, headers, *_: told.extend((status, headers))))
        return told[0], told[1], answer
