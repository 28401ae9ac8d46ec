"""The kubeconfig that a person names for a real cluster: read before anything is started."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from local_airflow.errors import LocalAirflowError
from local_airflow.instance.environment import KubernetesConnection


@dataclass(frozen=True)
class ChosenCluster:
    """What a kubeconfig and a context lead to.

    :param description: for people: server, user and context.
    :param address: host, port and path of the API server. It names the cluster: two contexts of one cluster have the
        same, however they are called, and a context that is pointed at another cluster has another.
    """

    connection: KubernetesConnection
    description: str
    address: str

    @property
    def folder_name(self) -> str:
        """The address as a name for a folder; two addresses never have the same."""
        name = re.sub(r"[^a-z0-9.-]", "_", self.address)
        if name == self.address.replace(":", "_", 1) and len(name) < 200:
            return name
        # Characters were replaced that another address may have in their place.
        return f"{name[:150]}-{hashlib.sha256(self.address.encode()).hexdigest()[:16]}"


def choose_cluster(kubeconfig: str, context: str | None) -> ChosenCluster:
    """Find the context in the kubeconfig.

    :param kubeconfig: path of a file, or several with ``:`` between them as in ``KUBECONFIG``.
    :param context: ``None`` for the kubeconfig's current one.
    :raises LocalAirflowError: if there is no such file or context, or the context leads to no server.
    """
    files = [Path(part).expanduser().absolute() for part in kubeconfig.split(os.pathsep) if part]
    present = [file for file in files if file.is_file()]
    if not present:
        raise LocalAirflowError(f"there is no kubeconfig {kubeconfig}; give its path with KUBECONFIG=…")
    contents = [_content(file) for file in present]
    chosen = context or next((name for name in map(_current, contents) if name), None)
    contexts = _by_name(contents, "contexts", "context")
    if chosen is None:
        raise LocalAirflowError(f"{kubeconfig} has no current context; choose one with CONTEXT=…: {_list(contexts)}")
    if chosen not in contexts:
        raise LocalAirflowError(f"{kubeconfig} has no context {chosen!r}; it has: {_list(contexts)}")
    cluster = _by_name(contents, "clusters", "cluster").get(str(contexts[chosen].get("cluster")), {})
    user = contexts[chosen].get("user", "?")
    server = str(cluster.get("server") or "")
    address = _address(server)
    if address is None:
        raise LocalAirflowError(
            f"context {chosen} of {kubeconfig} leads to no API server: its cluster has no `server` such as "
            f"https://api.example.com:6443, but {server!r}"
        )
    connection = KubernetesConnection(os.pathsep.join(map(str, present)), chosen)
    return ChosenCluster(connection, f"{server} as {user} (context {chosen})", address)


def _address(server: str) -> str | None:
    """Host, port and path of a URL, always written in the same way; ``None`` if it is no URL of a server."""
    try:
        url = urlsplit(server)
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    except ValueError:
        return None
    if not url.hostname or port is None or url.scheme not in ("https", "http"):
        return None
    return f"{url.hostname.rstrip('.')}:{port}{url.path.rstrip('/')}"


def _content(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise LocalAirflowError(f"the kubeconfig {file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LocalAirflowError(f"{file} is no kubeconfig")
    return content


def _current(content: dict[str, Any]) -> str | None:
    return content.get("current-context") or None


def _by_name(contents: list[dict[str, Any]], kind: str, key: str) -> dict[str, dict[str, Any]]:
    """The named entries of all files; of two with one name the first counts, as for kubectl."""
    return {
        str(item.get("name")): item.get(key) or {} for content in reversed(contents) for item in content.get(kind) or []
    }


def _list(names: dict[str, dict[str, Any]]) -> str:
    return ", ".join(sorted(names)) or "none"
