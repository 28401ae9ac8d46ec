"""When the token of a service account expires, as it says itself (pure)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime


def token_expires_at(authorization: str) -> datetime | None:
    """When a token ends.

    :param authorization: the header. A service account's token is a JWT, which carries its end (``exp``); a person's
        (``sha256~…``) does not tell.
    :return: None if it does not tell.
    """
    parts = authorization.removeprefix("Bearer ").strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None
