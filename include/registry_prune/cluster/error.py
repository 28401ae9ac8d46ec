"""A request to a cluster that failed, in words (pure)."""

from __future__ import annotations

import json
import ssl


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


class CertificateError(ClusterError):
    """The API server's certificate is not trusted: no other try changes that."""

    @property
    def permanent(self) -> bool:
        """True: somebody has to correct the connection, or the server."""
        return True


def not_trusted(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """That a certificate is not trusted, if that is what an error of a client comes from.

    Clients wrap it: urllib3 as the ``reason`` of its own error, or as an argument of one; aiohttp as the cause.
    """
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        within = (getattr(error, "reason", None), *error.args)
        error = next((each for each in within if isinstance(each, BaseException)), error.__cause__)
    return None


def status_message(body: str) -> str:
    """The message in a refusal of the API server; its body as it is if it is no Status."""
    try:
        message = json.loads(body).get("message") or body
    except (ValueError, AttributeError):
        message = body
    return str(message).strip()[:1000]
