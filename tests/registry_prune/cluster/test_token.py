"""When a token ends."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from include.registry_prune.cluster.cluster import Cluster
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


def connected(user: dict[str, Any]) -> Cluster:
    """As the client makes it of a kubeconfig."""
    content = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://cluster.test:6443"}}],
        "users": [{"name": "x", "user": user}],
    }
    return Cluster(config.new_client_from_config_dict(content))


ENDS = token({"exp": 1_800_000_000}).removeprefix("Bearer ")


def test_a_token_of_a_kubeconfig_is_never_renewed_and_tells_its_end() -> None:
    """Guards the alert: the client has a hook that renews tokens there, too, and it renews none."""
    assert connected({"token": ENDS}).token_expires_at == datetime.fromtimestamp(1_800_000_000, UTC)


def test_a_token_that_is_renewed_by_itself_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": ENDS},
    }
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print({json.dumps(credential)!r})"],
    }
    assert connected({"exec": command}).token_expires_at is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    (tmp_path / "token").write_text(ENDS)
    (tmp_path / "ca.crt").write_text("a certificate")
    assert Cluster.of_service_account(tmp_path).token_expires_at is None
