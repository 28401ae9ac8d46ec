"""Whether a cluster's version may be hard-pruned at all (pure).

OCPBUGS-102: the pruner deleted the config blob of every OCI image. It was put right in the image registry's sources on
2022-08-31 for 4.12 (pull request 341), on 2022-09-05 for 4.11 (343) and on 2022-10-25 for 4.10 (344); 4.9 and older
never were. Which z-stream carries it was read off the nightly that each was made from: 4.11.4 and 4.10.39 were made
from nightlies less than 30 hours younger than the change, too little to be sure of, so the one after each is the first
that is taken for whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

_VERSION = re.compile(r"v?(?P<major>\d{1,9})\.(?P<minor>\d{1,9})(?:\.(?P<patch>\d{1,9}))?(?P<rest>[-+].*)?", re.ASCII)
_BUILD_DATE = re.compile(r"(?<!\d)(20\d\d)-(\d\d)-(\d\d)(?!\d)", re.ASCII)


class _Whole(NamedTuple):
    """From which patch release on, and from which day of build on, a minor release keeps the configs of OCI images."""

    patch: int
    built: date


_FIRST_WHOLE = {
    (4, 10): _Whole(40, date(2022, 10, 27)),
    (4, 11): _Whole(5, date(2022, 9, 7)),
    (4, 12): _Whole(0, date(2022, 9, 2)),
}
_LAST_THAT_NEVER_WAS = (4, 9)


def current_versions(cluster_version: Mapping[str, Any]) -> tuple[str, ...]:
    """The versions that the registry may be at: one, or during an update those from the newest to the last complete.

    :param cluster_version: the ClusterVersion ``version``, as JSON; its history begins with the newest.
    """
    versions = []
    for entry in (cluster_version.get("status") or {}).get("history") or ():
        versions.append(str(entry.get("version") or ""))
        if entry.get("state") == "Completed":
            break
    return tuple(versions)


def update_under_way(cluster_version: Mapping[str, Any]) -> str | None:
    """In words, if the cluster is being updated."""
    history = (cluster_version.get("status") or {}).get("history") or ()
    if not history or history[0].get("state") == "Completed":
        return None
    since = f" since {history[0]['startedTime']}" if history[0].get("startedTime") else ""
    return f"ClusterVersion version: an update to {history[0].get('version')} is under way{since}"


def version_problem(cluster_version: Mapping[str, Any] | None) -> str | None:
    """Why a cluster of this version may not be hard-pruned, with what to do; None if it may.

    :param cluster_version: the ClusterVersion ``version``, as JSON; None if the cluster has none.
    """
    if cluster_version is None:
        return (
            "ClusterVersion version is not there, so nothing shows whether the pruner of this cluster is sound. Is "
            "this an OpenShift cluster, and the right one?"
        )
    versions = current_versions(cluster_version)
    if not versions:
        return "ClusterVersion version: its status has no history yet: wait until the cluster is installed."
    problems = [problem for problem in map(_problem, versions) if problem]
    return problems[-1] if problems else None


def _problem(version: str) -> str | None:
    read = _VERSION.fullmatch(version)
    if read is None:
        return (
            f"ClusterVersion version: {version[:80]!r} cannot be read, so nothing shows whether its pruner keeps the "
            "config blobs of OCI images (OCPBUGS-102). Compare it with 4.10.40, 4.11.5 and 4.12.0 by hand."
        )
    if _is_whole(read):
        return None
    return (
        f"ClusterVersion version: {version} has OCPBUGS-102: a hard prune deletes the config blob of every OCI "
        "image, and nobody can pull those images any more. The first versions without it are 4.10.40, 4.11.5 and "
        "4.12.0: bring the cluster to one of them. Until then set hard_prune to never for it."
    )


def _is_whole(version: re.Match[str]) -> bool:
    minor_release = int(version["major"]), int(version["minor"])
    if minor_release <= _LAST_THAT_NEVER_WAS:
        return False
    first = _FIRST_WHOLE.get(minor_release)
    if first is None:
        return True
    rest = version["rest"] or ""
    built = _built(rest)
    if built is not None:  # a nightly, or OKD, whose releases are all called x.y.0
        return built >= first.built
    patch = int(version["patch"] or 0)
    return patch > first.patch or (patch == first.patch and not rest.startswith("-"))


def _built(rest: str) -> date | None:
    """The day that a nightly or an OKD release was built on, which its version ends in."""
    found = _BUILD_DATE.search(rest)
    if found is None:
        return None
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        return None
