"""Faults to order: requests that the API answers wrongly, late, or not at all."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import asdict, dataclass, fields
from typing import Self

from sandbox.server.errors import ApiError, JsonObject

_TOO_MANY_REQUESTS = 429
_ANSWERS: dict[int, tuple[str, str]] = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "{resource} is forbidden: ordered fault"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: (
        "Conflict",
        "Operation cannot be fulfilled on {resource}: the object has been modified; please apply your changes "
        "to the latest version and try again",
    ),
    410: ("Expired", "The resourceVersion for the provided list or watch is too old."),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: ordered fault"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}
"""By HTTP status: the reason and the message of the Status."""


@dataclass(frozen=True)
class FaultRule:
    """Which requests meet a fault, and which.

    A request has to match everything that is given. ``verb`` is the Kubernetes verb (``get``, ``list``,
    ``watch``, ``create``, ``update``, ``patch``, ``delete``, ``deletecollection``); ``resource`` is named as
    in RBAC (``configs``, ``pods/exec``).

    :param method: HTTP method.
    :param path: regular expression, searched in path and query (``/api/v1/pods?watch=1``).
    :param body: regular expression, searched in what a patch or an update sends.
    :param remaining: how many more requests meet it; None for no end.
    :param probability: of a matching request to meet it, 0 to 1.
    :param status: answer with this HTTP status instead of carrying the request out.
    :param message: of that answer.
    :param retry_after_seconds: header ``Retry-After`` of that answer.
    :param delay_before_seconds: wait before the request is carried out (or refused).
    :param delay_after_seconds: wait between carrying out and answering.
    :param drop_before: cut the connection instead of carrying out.
    :param drop_after: carry out, then cut the connection: the client never knows.
    :param cut_watch_after_events: how many events a watch sends before it is cut.
    """

    method: str | None = None
    path: str | None = None
    user: str | None = None
    verb: str | None = None
    resource: str | None = None
    body: str | None = None
    remaining: int | None = None
    probability: float = 1.0
    status: int | None = None
    message: str | None = None
    retry_after_seconds: int | None = None
    delay_before_seconds: float = 0.0
    delay_after_seconds: float = 0.0
    drop_before: bool = False
    drop_after: bool = False
    cut_watch_after_events: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability has to be between 0 and 1, not {self.probability}")
        re.compile(self.path or "")
        re.compile(self.body or "")

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        """A rule from its fields.

        :raises ValueError: a field is unknown or has a value that cannot be.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(value.keys() - known):
            raise ValueError(f"unknown fields {unknown}; a fault has: {sorted(known)}")
        try:
            return cls(**value)
        except (TypeError, re.error) as problem:
            raise ValueError(str(problem)) from problem

    def error(self, resource: str) -> ApiError | None:
        """The answer that the client gets instead; None if the request is carried out."""
        if self.status is None:
            return None
        reason, told = _ANSWERS.get(self.status, ("InternalError", "Internal error occurred: ordered fault"))
        retry_after = self.retry_after_seconds
        if retry_after is None and self.status == _TOO_MANY_REQUESTS:
            retry_after = 1
        message = self.message or told.format(resource=resource)
        return ApiError(self.status, reason, message, retry_after_seconds=retry_after)

    def matches(self, request: FaultRequest) -> bool:
        """Is the request one of those that are meant?"""
        wanted = (self.method, self.user, self.verb, self.resource)
        found = (request.method, request.user, request.verb, request.resource)
        if any(want is not None and want != has for want, has in zip(wanted, found, strict=True)):
            return False
        texts = ((self.path, request.path), (self.body, request.body))
        return all(pattern is None or re.search(pattern, text) for pattern, text in texts)


@dataclass(frozen=True)
class FaultRequest:
    """What rules look at. ``path`` has the query in it; ``resource`` the subresource (``pods/exec``).

    :param body: of a patch or an update, else empty.
    """

    method: str
    path: str
    user: str
    verb: str
    resource: str
    body: str = ""


class ApiFaults:
    """The rules in force. May be changed from any thread.

    :param seed: of the dice for ``probability``.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._rules: dict[int, FaultRule] = {}
        self._left: dict[int, int] = {}
        self._next_id = 1

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force; rules are tried in the order in which they came. Returns its id."""
        with self._lock:
            rule_id, self._next_id = self._next_id, self._next_id + 1
            self._rules[rule_id] = rule
            if rule.remaining is not None:
                self._left[rule_id] = rule.remaining
            return rule_id

    def remove(self, rule_id: int) -> bool:
        """Take a rule out of force; False if it was not (or no more)."""
        with self._lock:
            self._left.pop(rule_id, None)
            return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._rules.clear()
            self._left.clear()

    def listed(self) -> list[JsonObject]:
        """The rules in force with their ids and what remains of them."""
        with self._lock:
            return [
                {"id": rule_id, **asdict(rule), "remaining": self._left.get(rule_id)}
                for rule_id, rule in self._rules.items()
            ]

    def take(self, request: FaultRequest) -> FaultRule | None:
        """The rule that this request meets, used up by one; None if it meets none."""
        with self._lock:
            for rule_id, rule in self._rules.items():
                if not rule.matches(request):
                    continue
                if rule.probability < 1 and self._random.random() >= rule.probability:
                    continue
                if rule_id in self._left:
                    self._left[rule_id] -= 1
                    if self._left[rule_id] <= 0:
                        del self._rules[rule_id], self._left[rule_id]
                return rule
        return None
