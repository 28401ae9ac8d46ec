"""Kubeconfigs for the clients of the sandbox."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from sandbox.server.errors import JsonObject


def kubeconfig(
    server: str, authority: bytes, token: str, *, user: str = "admin", namespace: str = "default"
) -> JsonObject:
    """A kubeconfig with one context.

    :param server: URL of the API server.
    :param authority: PEM of the certificate authority; embedded.
    :param user: the name of the user entry and, with the cluster's, of the context.
    """
    cluster = "sandbox"
    context = f"{cluster}/{user}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user, "namespace": namespace}}],
        "current-context": context,
    }


def write_kubeconfig(
    path: Path,
    server: str,
    authority: bytes,
    token: str,
    *,
    user: str = "admin",
    namespace: str = "default",
) -> Path:
    """Write a :func:`kubeconfig`, readable by the owner only; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    content = kubeconfig(server, authority, token, user=user, namespace=namespace)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
