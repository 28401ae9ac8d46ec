"""When a token ends."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.registry_prune.cluster.kubernetes_api import token_expires_at


def token(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer e30.{part}.c2ln"


def test_a_service_accounts_token_tells_its_end() -> None:
    assert token_expires_at(token({"exp": 1_800_000_000})) == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer sha256~opaque", "Bearer a.b.c", token({}), token([]), token({"exp": "soon"}), token({"exp": 1e300})],
)
def test_any_other_tells_none(authorization: str) -> None:
    assert token_expires_at(authorization) is None
