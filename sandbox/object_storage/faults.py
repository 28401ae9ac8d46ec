"""What goes wrong with an object storage, by order."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class StoreFault:
    """One order.

    :param operation: ``DeleteObjects``, or any other name of :func:`operation_of`; empty: every request.
    :param effect: ``answer``: an error instead of the answer, and nothing is done; ``half``: every other key of a batch
        is refused with the code, the others are done; ``cut``: the request is done, and the connection is cut in the
        middle of the answer.
    :param times: how many requests it strikes; None: all.
    :param after: so many requests of that operation are left alone first.
    """

    operation: str = ""
    effect: Literal["answer", "half", "cut"] = "answer"
    status: int = 503
    code: str = "SlowDown"
    times: int | None = 1
    after: int = 0


@dataclass
class StoreFaults:
    """The orders in force; thread-safe.

    :param latency: seconds that every request takes longer.
    """

    latency: float = 0.0
    _orders: list[StoreFault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: StoreFault) -> None:
        """Put an order in force."""
        with self._lock:
            self._orders.append(fault)

    def clear(self) -> None:
        """Take all orders back, and the latency too."""
        with self._lock:
            self._orders.clear()
        self.latency = 0.0

    def take(self, operation: str) -> StoreFault | None:
        """The order that strikes this request; it counts as struck."""
        with self._lock:
            for fault in self._orders:
                if fault.operation not in ("", operation):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._orders.remove(fault)
                return fault
        return None


def operation_of(method: str, path: str, query: str) -> str:
    """The name of a request, as far as the registry's storage and its tools make it."""
    names = {name.partition("=")[0] for name in query.split("&")}
    if method == "POST" and "delete" in names:
        return "DeleteObjects"
    if method == "GET":
        for name, operation in (("versioning", "GetBucketVersioning"), ("versions", "ListObjectVersions")):
            if name in names:
                return operation
        return "ListObjectsV2" if "list-type" in names else "GetObject"
    return {"PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)


_OBJECT = re.compile(rb"<Object>.*?</Object>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)


def without_half(body: bytes) -> tuple[bytes, list[bytes]]:
    """A batch without every other key, and the keys that were taken out."""
    refused = _OBJECT.findall(body)[1::2]
    for each in refused:
        body = body.replace(each, b"", 1)
    return body, [key for each in refused for key in _KEY.findall(each)]


def error_document(status: int, code: str) -> bytes:
    """An S3 error, as a whole answer."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>ordered: {status} {code}</Message>'
        "<RequestId>0</RequestId></Error>"
    ).encode()


def with_errors(answer: bytes, keys: list[bytes], code: str) -> bytes:
    """The answer to a batch, with an error for each of these keys."""
    errors = b"".join(
        b"<Error><Key>%s</Key><Code>%s</Code><Message>ordered</Message></Error>" % (key, code.encode()) for key in keys
    )
    return answer.replace(b"</DeleteResult>", errors + b"</DeleteResult>")
