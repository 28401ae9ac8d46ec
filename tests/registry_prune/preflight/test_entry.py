"""One entry, one cluster: a second entry finds out, and names both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.preflight.entry import ENTRY_ANNOTATION, note_entry, noted_entry, second_entry
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, other_entry


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


def test_an_entry_is_noted_once() -> None:
    cluster = PlayedCluster(noted="berlin")
    note_entry(cluster, "munich")  # type: ignore[arg-type]
    note_entry(cluster, "munich")  # type: ignore[arg-type]
    assert (noted_entry(cluster.config()), cluster.patches) == ("munich", 1)


def test_another_entry_is_looked_up_in_the_file_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings may be wrong: its connection is all that counts."""
    file = tmp_path / "clusters.yaml"
    file.write_text("berlin: {connection: kubernetes_berlin, lease: never}\nmunich: {}\n", encoding="utf-8")
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
    berlin = other_entry("berlin")
    assert berlin is not None
    assert berlin.connection == "kubernetes_berlin"
    assert other_entry("hamburg") is None
