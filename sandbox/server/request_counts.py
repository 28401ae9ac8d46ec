"""How many requests the API has had, by whom and for what."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from sandbox.server.errors import JsonObject


class RequestKind(NamedTuple):
    """What is counted together. ``resource`` is named as in RBAC (``pods/exec``); paths that are no resource
    have their first segment (``/version``)."""

    user: str
    verb: str
    resource: str
    status: int


class RequestCounts:
    """Counts requests when their answer begins; 0 is the status of one whose connection was cut.

    May be read from any thread.
    """

    def __init__(self) -> None:
        self._counts: Counter[RequestKind] = Counter()
        self._lock = threading.Lock()
        self.on_request: Callable[[RequestKind], None] | None = None
        """Called with each request as it is counted, on the server's loop."""

    def add(self, kind: RequestKind) -> None:
        """Count one request."""
        with self._lock:
            self._counts[kind] += 1
        if self.on_request is not None:
            self.on_request(kind)

    def total(
        self,
        *,
        user: str | None = None,
        verb: str | None = None,
        resource: str | None = None,
        status: int | None = None,
    ) -> int:
        """How many requests match everything that is given."""
        wanted = (user, verb, resource, status)
        with self._lock:
            return sum(
                count
                for kind, count in self._counts.items()
                if all(want is None or want == has for want, has in zip(wanted, kind, strict=True))
            )

    def listed(self) -> list[JsonObject]:
        """Every kind of request with its count, ordered."""
        with self._lock:
            return [{**kind._asdict(), "count": count} for kind, count in sorted(self._counts.items())]

    def clear(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._counts.clear()
