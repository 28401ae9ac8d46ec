"""A request to a cluster that failed, in words (pure)."""

from __future__ import annotations

import json


class ClusterError(Exception):
    """A request to the cluster failed; the message says which, why, and what to do.

    :param status: HTTP status, 0 when the API server was not reached.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def permanent(self) -> bool:
        """Whether asking again is of no use (the request itself is refused)."""
        return self.status in (400, 401, 403, 404, 405, 422)


def status_message(body: str) -> str:
    """The message in a refusal of the API server; its body as it is if it is no Status."""
    try:
        message = json.loads(body).get("message") or body
    except (ValueError, AttributeError):
        message = body
    return str(message).strip()[:1000]
