"""Which entry of ``clusters.yaml`` prunes a cluster: noted on the cluster itself, where a second entry finds it.

No store of Airflow has to be shared for that, and one glance at the Config shows it to a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.window.config_lease import change_config

ENTRY_ANNOTATION = "registry-prune/entry"
"""Of the Config CR: the entry whose run was here last."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def noted_entry(config: Mapping[str, Any]) -> str | None:
    """The entry that a Config CR names (pure); None if it names none, or something that is no entry's name."""
    noted = (config["metadata"].get("annotations") or {}).get(ENTRY_ANNOTATION) or ""
    return noted if _NAME.fullmatch(noted) else None


def note_entry(cluster: Cluster, name: str) -> None:
    """Note on the Config CR that this entry prunes the cluster.

    :raises ClusterError: if the cluster does not answer, or refuses.
    """

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        if noted_entry(config) == name:
            return None
        return {"metadata": {"annotations": {ENTRY_ANNOTATION: name}}}

    change_config(cluster, decide)


def second_entry(cluster: Cluster, name: str, reach: Callable[[str], Cluster | None]) -> str | None:
    """Why an entry may not prune this cluster: another one does. None if it may.

    What is noted may be out of date, or made up: only an entry which is there, and by whose connection the same cluster
    is reached, is in the way.

    :param reach: the cluster of another entry; None if there is no such entry.
    """
    other = noted_entry(cluster.config())
    if other is None or other == name:
        return None
    try:
        theirs = reach(other)
        same = theirs is not None and _identity(theirs) == _identity(cluster)
    except ClusterError:
        # It does not reach this cluster now. If it does so again, its own run finds this entry here.
        return None
    if not same:
        return None
    return (
        f"Two entries of clusters.yaml reach one cluster, {' '.join(filter(None, _identity(cluster)))}: {other!r}, "
        f"which pruned it last, and {name!r}. Their runs would disturb each other, and each takes the other's orphans "
        "for its own: remove one of the entries, or correct its connection."
    )


def _identity(cluster: Cluster) -> tuple[str, str]:
    """Its id; where it does not tell that, its address."""
    cluster_id = cluster.cluster_id()
    return (f"id {cluster_id}", "") if cluster_id else ("", cluster.server)
