"""Which entry of ``clusters.yaml`` prunes a cluster: noted on the cluster itself, where a second entry finds it.

No store of Airflow has to be shared for that, and one glance at the Config shows it to a person. An entry of another
Airflow is known by the address that is noted with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.settings.clusters import BASE_DAG_ID, dag_id_of
from include.registry_prune.window.config_lease import change_config

ENTRY_ANNOTATION = "registry-prune/entry"
"""Of the Config CR: the entry whose run was here last, and of which Airflow, when: ``NAME [ADDRESS TIME]``."""
_NOTED = re.compile(
    r"([a-z0-9][a-z0-9_-]{0,62})(?: (https?://[\w.:/\[\]-]{1,200}) (\d{4}-\d\d-\d\dT\d\d:\d\dZ))?", re.ASCII
)


@dataclass(frozen=True)
class NotedEntry:
    """Whose run was here last.

    :param name: of its entry.
    :param airflow: the address of its Airflow; empty if that is not known, or is none for others.
    :param at: when it was here, in UTC; empty if that is not known.
    """

    name: str
    airflow: str = ""
    at: str = ""


def noted_entry(config: Mapping[str, Any]) -> NotedEntry | None:
    """The entry that a Config CR names (pure); None if it names none, or has something there that no run writes."""
    noted = _NOTED.fullmatch((config["metadata"].get("annotations") or {}).get(ENTRY_ANNOTATION) or "")
    return NotedEntry(*(part or "" for part in noted.groups())) if noted else None


def note_entry(cluster: Cluster, name: str, *, airflow: str, now: datetime) -> NotedEntry | None:
    """Note on the Config CR that this entry prunes the cluster.

    :param airflow: the address of this Airflow; empty if it has none that means something elsewhere.
    :return: what was noted before.
    :raises ClusterError: if the cluster does not answer, or refuses.
    """
    text = f"{name} {airflow} {now:%Y-%m-%dT%H:%MZ}"
    written = text if _NOTED.fullmatch(text) else name
    before: NotedEntry | None = None

    def decide(config: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal before
        before = noted_entry(config)
        if before == NotedEntry(written):  # without an address there is nothing new to say
            return None
        return {"metadata": {"annotations": {ENTRY_ANNOTATION: written}}}

    change_config(cluster, decide)
    return before


def other_airflow(before: NotedEntry | None, airflow: str) -> str | None:
    """A warning that another Airflow prunes this cluster, too; None if nothing says so (pure).

    It is no reason to fail: the lease keeps their windows apart, the other may be gone or have moved here, and whoever
    may annotate the Config would stop every run.

    :param before: what was noted by the last run.
    :param airflow: the address of this Airflow.
    """
    if before is None or not before.airflow or not airflow or before.airflow == airflow:
        return None
    return (
        f"The Airflow at {before.airflow} prunes this cluster, too: its DAG {dag_id_of(BASE_DAG_ID, before.name)} was "
        f"here at {before.at}. The lease keeps their windows apart, and nothing else: turns (windows_at_once, after), "
        "history and ceilings are each one's own. Let one of them prune it. If it moved here, this is not said again."
    )


def second_entry(cluster: Cluster, name: str, reach: Callable[[str], Cluster | None]) -> str | None:
    """Why an entry may not prune this cluster: another one does. None if it may.

    What is noted may be out of date, or made up: only an entry which is there, and by whose connection the same cluster
    is reached, is in the way.

    :param reach: the cluster of another entry; None if there is no such entry.
    """
    other = noted_entry(cluster.config())
    if other is None or other.name == name:
        return None
    try:
        theirs = reach(other.name)
        same = theirs is not None and _identity(theirs) == _identity(cluster)
    except ClusterError:
        # It does not reach this cluster now. If it does so again, its own run finds this entry here.
        return None
    if not same:
        return None
    return (
        f"Two entries of clusters.yaml reach one cluster, {' '.join(filter(None, _identity(cluster)))}: "
        f"{other.name!r}, which pruned it last, and {name!r}. Their runs would disturb each other, and each takes the "
        "other's orphans for its own: remove one of the entries, or correct its connection."
    )


def _identity(cluster: Cluster) -> tuple[str, str]:
    """Its id; where it does not tell that, its address."""
    cluster_id = cluster.cluster_id()
    return (f"id {cluster_id}", "") if cluster_id else ("", cluster.server)
