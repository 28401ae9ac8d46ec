"""What the API answers when it refuses: errors that render as a v1 ``Status``, in the real server's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

JsonObject = dict[str, Any]


def _details(resource: str, name: str | None) -> JsonObject:
    plural, _, group = resource.partition(".")
    details: JsonObject = {"kind": plural}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    return details


class ApiError(Exception):
    """An answer of the API other than success.

    :param code: HTTP status.
    :param reason: machine-readable reason, for example ``NotFound``.
    :param message: the sentence that clients show.
    :param details: the ``details`` of the Status; left out when None.
    :param retry_after_seconds: sent as header ``Retry-After``.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> JsonObject:
        """The v1 ``Status`` object to send as the body."""
        status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        details = dict(self.details or {})
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if details:
            status["details"] = details
        status["code"] = self.code
        return status

    @classmethod
    def not_found(cls, resource: str, name: str) -> Self:
        """404: ``pods "nosuch" not found``. ``resource`` is ``plural`` or ``plural.group``."""
        return cls(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))

    @classmethod
    def no_such_path(cls) -> Self:
        """404 for a path that no resource serves."""
        return cls(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def already_exists(cls, resource: str, name: str) -> Self:
        """409 on a create."""
        return cls(409, "AlreadyExists", f'{resource} "{name}" already exists', _details(resource, name))

    @classmethod
    def conflict(cls, resource: str, name: str, cause: str | None = None) -> Self:
        """409 on an update from a stale ``resourceVersion`` (or for the ``cause`` given)."""
        cause = cause or ("the object has been modified; please apply your changes to the latest version and try again")
        message = f'Operation cannot be fulfilled on {resource} "{name}": {cause}'
        return cls(409, "Conflict", message, _details(resource, name))

    @classmethod
    def bad_request(cls, message: str) -> Self:
        """400."""
        return cls(400, "BadRequest", message)

    @classmethod
    def invalid(cls, kind: str, group: str, name: str, causes: Iterable[tuple[str, str, str]]) -> Self:
        """422 with its causes.

        :param causes: triples of field path, reason (``FieldValueInvalid`` …) and message.
        """
        listed = [{"reason": reason, "message": text, "field": field} for field, reason, text in causes]
        sentences = [f"{cause['field']}: {cause['message']}" for cause in listed]
        told = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
        details: JsonObject = {"name": name, "group": group, "kind": kind, "causes": listed}
        qualified = f"{kind}.{group}" if group else kind
        return cls(422, "Invalid", f'{qualified} "{name}" is invalid: {told}', details)

    @classmethod
    def forbidden(cls, resource: str, name: str | None, cause: str) -> Self:
        """403: ``<resource> "<name>" is forbidden: <cause>``; without the name for lists and creates."""
        named = f'{resource} "{name}"' if name else resource
        return cls(403, "Forbidden", f"{named} is forbidden: {cause}", _details(resource, name))

    @classmethod
    def unauthorized(cls) -> Self:
        """401: no bearer token, or one that nobody issued."""
        return cls(401, "Unauthorized", "Unauthorized")

    @classmethod
    def expired(cls, message: str) -> Self:
        """410: a resourceVersion or a continue token older than what is remembered."""
        return cls(410, "Expired", message)

    @classmethod
    def method_not_allowed(cls) -> Self:
        """405: the resource is served, but not with this method."""
        return cls(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    @classmethod
    def unsupported_media_type(cls, accepted: Iterable[str]) -> Self:
        """415: a body in a format that is not read here."""
        message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(
            accepted
        )
        return cls(415, "UnsupportedMediaType", message)
