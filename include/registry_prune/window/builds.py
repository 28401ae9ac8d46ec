"""Builds that push to the integrated registry: they are lost when the window opens (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from include.registry_prune.names import DEPLOYMENT, NAMESPACE
from include.registry_prune.records import Record
from include.registry_prune.units import format_count

UNFINISHED_PHASES = frozenset({"New", "Pending", "Running"})
PUSH_FAILED = "PushImageToRegistryFailed"
"""The reason in the status of a build that could not push what it had built."""
NAMES_SHOWN = 20
_SERVICE = f"{DEPLOYMENT}.{NAMESPACE}.svc"
_DEFAULT_ROUTE = f"default-route-{NAMESPACE}."


class BuildsHit(Record):
    """Builds whose push failed while the registry was read-only.

    :param names: ``namespace/name``, at most :data:`NAMES_SHOWN`.
    """

    version: Literal[1] = 1
    count: int = 0
    names: tuple[str, ...] = ()


def route_hosts(config: Mapping[str, Any]) -> frozenset[str]:
    """The host names that the registry has outside the cluster besides its default route.

    :param config: the Config CR, as JSON.
    """
    routes = (config.get("spec") or {}).get("routes") or ()
    return frozenset(route["hostname"] for route in routes if route.get("hostname"))


def running_pushes(builds: Iterable[Mapping[str, Any]], hosts: frozenset[str] = frozenset()) -> list[str]:
    """The unfinished builds that will push to the integrated registry, by ``namespace/name``.

    One that is New or Pending counts: it comes to its push while the window is open.

    :param builds: Build objects, as JSON.
    :param hosts: see :func:`route_hosts`.
    """
    return sorted(
        _name(build)
        for build in builds
        if (build.get("status") or {}).get("phase") in UNFINISHED_PHASES and _pushes_here(build, hosts)
    )


def hit_by_window(
    builds: Iterable[Mapping[str, Any]], *, opened: datetime, closed: datetime, hosts: frozenset[str] = frozenset()
) -> BuildsHit:
    """The builds whose push to the integrated registry failed while the window was open.

    :param opened: not later than the first pod stopped taking pushes.
    :param closed: when every pod took pushes again.
    """
    names = sorted(
        _name(build)
        for build in builds
        if (build.get("status") or {}).get("reason") == PUSH_FAILED
        and _pushes_here(build, hosts)
        and _ended_between(build, opened, closed)
    )
    return BuildsHit(count=len(names), names=tuple(names[:NAMES_SHOWN]))


def listed(names: list[str]) -> str:
    """So many builds with their names: ``2 builds (shop/app-3, shop/web-1)``."""
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    return f"{format_count(len(names), 'build')} ({shown})"


def _name(build: Mapping[str, Any]) -> str:
    return f"{build['metadata'].get('namespace', '')}/{build['metadata']['name']}"


def _pushes_here(build: Mapping[str, Any], hosts: frozenset[str]) -> bool:
    resolved = (build.get("status") or {}).get("outputDockerImageReference")
    if resolved:
        return _is_here(str(resolved), hosts)
    target = ((build.get("spec") or {}).get("output") or {}).get("to") or {}
    if target.get("kind") == "DockerImage":
        return _is_here(str(target.get("name", "")), hosts)
    # ImageStreamTag, ImageStreamImage: a stream of the cluster, unless the API server resolves it to another registry.
    return bool(target)


def _is_here(reference: str, hosts: frozenset[str]) -> bool:
    host = reference.removeprefix("docker://").partition("/")[0].partition(":")[0]
    return host in hosts or host in (_SERVICE, f"{_SERVICE}.cluster.local") or host.startswith(_DEFAULT_ROUTE)


def _ended_between(build: Mapping[str, Any], opened: datetime, closed: datetime) -> bool:
    ended = (build.get("status") or {}).get("completionTimestamp")
    # The API server gives whole seconds, cut off.
    if not ended:
        return False
    return opened.replace(microsecond=0) <= datetime.fromisoformat(str(ended)) <= closed
