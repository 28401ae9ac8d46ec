"""Who asks: bearer tokens that carry a signed identity, as JSON Web Tokens: whoever has one reads when it ends."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """An authenticated user and the groups that RBAC looks at."""

    name: str
    groups: tuple[str, ...]


class TokenAuthenticator:
    """Issues bearer tokens and recognizes them.

    :param key: signs the tokens. Tokens outlive a restart of the server if the key does; without one, a new
        key is made.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._revoked: set[str] = set()

    def issue(self, username: str, groups: Sequence[str] = (), *, expiration_seconds: int | None = None) -> str:
        """A token for that user; ``system:authenticated`` is added to the groups.

        :param expiration_seconds: the token's life; None for one that does not end. The same user and groups
            without an end give the same token again.
        """
        claims: dict[str, object] = {
            "name": username,
            "groups": list(dict.fromkeys((*groups, AUTHENTICATED))),
        }
        if expiration_seconds is not None:
            claims["exp"] = int(time.time()) + expiration_seconds
        signed = f"{_HEADER}.{_encode(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{self._signature(signed)}"

    def service_account_token(self, namespace: str, name: str, *, expiration_seconds: int | None = None) -> str:
        """The token of a service account: always the same one while no expiration is asked for."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        username = f"system:serviceaccount:{namespace}:{name}"
        return self.issue(username, groups, expiration_seconds=expiration_seconds)

    def authenticate(self, token: str) -> User | None:
        """Whose token it is; None if it was not issued here, has expired or was revoked."""
        signed, _, signature = token.rpartition(".")
        if token in self._revoked or not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return None
        payload = signed.partition(".")[2]
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError):
            return None
        expires = claims.get("exp")
        if expires is not None and expires <= time.time():
            return None
        return User(claims["name"], tuple(claims["groups"]))

    def revoke(self, token: str) -> None:
        """From now on the token is unknown: 401."""
        self._revoked.add(token)

    def restore(self, token: str) -> None:
        """Take back a :meth:`revoke`."""
        self._revoked.discard(token)

    def _signature(self, signed: str) -> str:
        return _encode(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


_HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')
