"""One entry, one cluster: a second entry finds out, and names both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.preflight.entry import (
    ENTRY_ANNOTATION,
    NotedEntry,
    note_entry,
    noted_entry,
    other_airflow,
    second_entry,
)
from include.registry_prune.report.links import airflow_address
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, other_entry

NOW = datetime(2026, 11, 26, 3, 15, tzinfo=UTC)
HERE, THERE = "https://airflow.example.com/prod", "http://[2001:db8::1]:8080"


class PlayedCluster:
    """A Config that takes annotations, of a cluster with an id."""

    def __init__(self, cluster_id: str = "one", server: str = "https://one:6443", noted: str | None = None) -> None:
        annotations = {} if noted is None else {ENTRY_ANNOTATION: noted}
        self._config: dict[str, Any] = {"metadata": {"annotations": annotations, "resourceVersion": "1"}}
        self.id, self.server, self.patches = cluster_id, server, 0

    def config(self) -> dict[str, Any]:
        return self._config

    def patch_config(self, patch: dict[str, Any], *, resource_version: str) -> dict[str, Any]:
        assert resource_version == self._config["metadata"]["resourceVersion"]
        self._config["metadata"]["annotations"] |= patch["metadata"]["annotations"]
        self.patches += 1
        return self._config

    def cluster_id(self) -> str:
        return self.id


def reaching(other: PlayedCluster | None) -> Callable[[str], Any]:
    return lambda name: other


def judged(cluster: PlayedCluster, name: str, reach: Callable[[str], Any]) -> str | None:
    return second_entry(cluster, name, reach)  # type: ignore[arg-type]


def test_a_second_entry_of_one_cluster_is_named_with_the_first() -> None:
    problem = judged(PlayedCluster(noted="berlin"), "berlin_new", reaching(PlayedCluster(server="https://alias:443")))
    assert problem is not None
    assert "'berlin', which pruned it last, and 'berlin_new'" in problem
    assert "id one" in problem


def test_clusters_that_do_not_tell_their_ids_are_told_apart_by_their_addresses() -> None:
    here = PlayedCluster("", noted="berlin")
    assert judged(here, "munich", reaching(PlayedCluster(""))) is not None
    assert judged(here, "munich", reaching(PlayedCluster("", "https://two:6443"))) is None


NOT_IN_THE_WAY: dict[str, tuple[PlayedCluster, Callable[[str], Any]]] = {
    "nobody was here": (PlayedCluster(), reaching(PlayedCluster())),
    "this entry itself": (PlayedCluster(noted="munich"), reaching(PlayedCluster())),
    "an entry that was renamed or removed": (PlayedCluster(noted="berlin"), reaching(None)),
    "an entry that was moved": (PlayedCluster(noted="berlin"), reaching(PlayedCluster("two"))),
    "no name of an entry": (PlayedCluster(noted="\x1b[2J../etc"), reaching(PlayedCluster())),
    "megabytes": (PlayedCluster(noted="x" * 2_000_000), reaching(PlayedCluster())),
}


@pytest.mark.parametrize(("cluster", "reach"), NOT_IN_THE_WAY.values(), ids=NOT_IN_THE_WAY.keys())
def test_only_an_entry_that_reaches_this_cluster_is_in_the_way(
    cluster: PlayedCluster, reach: Callable[[str], Any]
) -> None:
    """Guards runs against what somebody wrote there by hand, and what is out of date."""
    assert judged(cluster, "munich", reach) is None


def test_an_entry_whose_cluster_does_not_answer_is_not_in_the_way() -> None:
    def reach(name: str) -> Any:
        raise ClusterError("no answer")

    assert judged(PlayedCluster(noted="berlin"), "munich", reach) is None


def noted(cluster: PlayedCluster, name: str, airflow: str) -> NotedEntry | None:
    return note_entry(cluster, name, airflow=airflow, now=NOW)  # type: ignore[arg-type]


def test_an_entry_is_noted_once() -> None:
    cluster = PlayedCluster(noted="berlin")
    assert noted(cluster, "munich", "") == NotedEntry("berlin")
    assert noted(cluster, "munich", "") == NotedEntry("munich")
    assert (noted_entry(cluster.config()), cluster.patches) == (NotedEntry("munich"), 1)


def test_an_entry_is_noted_with_its_airflow_and_when() -> None:
    cluster = PlayedCluster(noted="berlin")
    assert noted(cluster, "munich", HERE) == NotedEntry("berlin")
    assert noted(cluster, "munich", THERE) == NotedEntry("munich", HERE, "2026-11-26T03:15Z")
    assert noted_entry(cluster.config()) == NotedEntry("munich", THERE, "2026-11-26T03:15Z")
    assert judged(cluster, "berlin", reaching(PlayedCluster())) is not None, "a second entry is found with it, too"


def test_an_address_that_would_not_be_read_is_not_noted() -> None:
    """Guards the name: it would be lost with it."""
    cluster = PlayedCluster()
    noted(cluster, "munich", "https://airflow.example.com/a b")
    assert noted_entry(cluster.config()) == NotedEntry("munich")


def test_an_entry_of_another_airflow_is_named_with_its_address_and_when_it_was_here() -> None:
    cluster = PlayedCluster()
    noted(cluster, "default", THERE)
    warning = other_airflow(noted(cluster, "default", HERE), HERE)
    assert warning is not None
    assert f"The Airflow at {THERE} prunes this cluster, too: its DAG registry_prune was here at 2026-" in warning
    assert other_airflow(noted(cluster, "default", HERE), HERE) is None, "now it is this one that was here last"


@pytest.mark.parametrize(
    ("annotation", "here"),
    [
        (None, HERE),
        ("default", HERE),
        (f"default {HERE} 2026-11-26T03:15Z", HERE),
        (f"default {THERE} 2026-11-26T03:15Z", ""),
        (f"default {THERE} \x1b[2J", HERE),
        (f"default {THERE}\u202e 2026-11-26T03:15Z", HERE),
        ("default javascript:alert(1) 2026-11-26T03:15Z", HERE),
        (f"default {THERE}/{'x' * 2_000_000} 2026-11-26T03:15Z", HERE),
    ],
    ids=[
        "nobody",
        "an older release",
        "this one",
        "no address",
        "escapes",
        "from right to left",
        "no web",
        "megabytes",
    ],
)
def test_nobody_is_warned_of_what_is_not_known_or_was_made_up(annotation: str | None, here: str) -> None:
    before = noted_entry(PlayedCluster(noted=annotation).config())
    assert other_airflow(before, here) is None


@pytest.mark.parametrize(
    ("base_url", "address"),
    [("", ""), ("http://localhost:8080/", ""), ("http://127.0.0.1:1", ""), ("http://[::1]:1", ""), (f"{HERE}/", HERE)],
)
def test_an_address_that_means_something_on_one_machine_only_is_none(
    monkeypatch: pytest.MonkeyPatch, base_url: str, address: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert airflow_address() == address


def test_another_entry_is_looked_up_in_the_file_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings may be wrong: its connection is all that counts."""
    file = tmp_path / "clusters.yaml"
    file.write_text("berlin: {connection: kubernetes_berlin, lease: never}\nmunich: {}\n", encoding="utf-8")
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
    berlin = other_entry("berlin")
    assert berlin is not None
    assert berlin.connection == "kubernetes_berlin"
    assert other_entry("hamburg") is None
