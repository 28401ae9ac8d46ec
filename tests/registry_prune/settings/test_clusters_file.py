"""A wrong entry is that cluster's own trouble: the others are read, and its guard has what is right in it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from include.registry_prune.settings import entries
from include.registry_prune.settings.__main__ import main
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, ClustersFile, load_clusters
from include.registry_prune.settings.parameters import SettingsError


@pytest.fixture(autouse=True)
def no_inherited_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTERS_FILE_VARIABLE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clusters.yaml"


def read(path: Path, content: str) -> ClustersFile:
    path.write_text(dedent(content).lstrip("\n"), encoding="utf-8")
    return ClustersFile.read(path)


def connections_of_guards(file: ClustersFile) -> dict[str, str | None]:
    found = {name: file.guard_settings(name) for name in file.names}
    return {name: None if settings is None else settings.connection for name, settings in found.items()}


THREE = """
# Three clusters, two of them with faults.
berlin:
  connection: berlin
  settle_limit: soon
  lease: 20m
  parameters:
    min_size: 10GiB
    min_blob: 2
munich:
  connection: munich

rome: {connection: rome, foo: 1,
       follow_every: 0s}
"""


def test_every_fault_is_told_at_once_with_its_line(path: Path) -> None:
    file = read(path, THREE)
    assert [(fault.line, fault.entry, fault.problem.split(" (it is")[0]) for fault in file.faults()] == [
        (4, "berlin", "settle_limit: 'soon' is not a duration: write for example 60m, 1h30m or 96h"),
        (8, "berlin", "parameters.min_blob: there is no such setting; is min_blobs meant?"),
        (12, "rome", "foo: there is no such setting"),
        (13, "rome", "follow_every: '0s' is no time at all: write something longer, such as 15s, 60m or 12h"),
    ]


def test_the_others_are_read(path: Path) -> None:
    file = read(path, THREE)
    assert file.settings("munich") == ClusterSettings(name="munich", connection="munich")
    with pytest.raises(SettingsError, match="line 4, cluster 'berlin': settle_limit") as error:
        file.settings("berlin")
    assert "rome" not in str(error.value)
    with pytest.raises(SettingsError, match="rome"):
        load_clusters(path)


def test_a_guard_works_with_what_is_right_in_a_wrong_entry(path: Path) -> None:
    file = read(path, THREE)
    assert file.guard_settings("berlin") == ClusterSettings(name="berlin", connection="berlin", lease="20m")
    assert file.guard_settings("munich") == file.settings("munich")
    assert file.guard_settings("rome") == ClusterSettings(name="rome", connection="rome")


@pytest.mark.parametrize(
    ("entry", "connection"),
    [
        ("{settle_limit: 5}", "kubernetes_default"),
        ("{connection: x, name: y}", "x"),
        ("{connection: x, 1: y}", "x"),
        ("{connection: x, parameters: {pass_ceilings: [orphan_share]}}", "x"),
        ("{connection: 'a b'}", None),
        ("{connection: 5}", None),
        # Whose guard this should be cannot be read: the default connection leads to another cluster.
        ("{conection: x}", None),
        ("text", None),
        ("[a, b]", None),
    ],
)
def test_a_wrong_entry_has_a_guard_if_its_connection_can_be_read(
    path: Path, entry: str, connection: str | None
) -> None:
    file = read(path, f"berlin: {entry}\nmunich: {{connection: munich}}")
    assert connections_of_guards(file) == {"berlin": connection, "munich": "munich"}
    assert [fault.entry for fault in file.faults()] == ["berlin"]


def test_an_entry_whose_name_makes_no_dag_id_has_no_guard(path: Path) -> None:
    file = read(path, "Berlin: {connection: x}\nmunich: {connection: z}")
    assert connections_of_guards(file) == {"Berlin": None, "munich": "z"}
    assert [fault.entry for fault in file.faults()] == ["Berlin"]


def test_a_name_that_is_no_text_is_a_fault(path: Path) -> None:
    file = read(path, "5: {connection: x}\nmunich: {connection: z}")
    (fault,) = file.faults()
    assert fault.text() == "line 1, cluster '5': name: a cluster's name should be text: write for example 'cluster-5'"


def test_broken_yaml_in_one_entry_leaves_the_others(path: Path) -> None:
    file = read(
        path,
        """
        defaults: {lease: 20m}
        berlin:
          # connection: old
          alert_connection: pager
          connection: "berlin"
          parameters: {min_blobs: 5
        munich:
          connection: munich
        rome:
        \tconnection: rome
        """,
    )
    assert file.settings("munich") == ClusterSettings(name="munich", connection="munich", lease="20m")
    assert connections_of_guards(file) == {"berlin": "berlin", "munich": "munich", "rome": "rome"}
    (berlin, rome) = file.faults()
    assert (berlin.line, berlin.entry, rome.line, rome.entry) == (6, "berlin", 10, "rome")
    for fault in (berlin, rome):
        assert "it cannot be read: " in fault.problem


def test_a_key_that_is_there_twice_is_a_fault(path: Path) -> None:
    file = read(
        path,
        """
        berlin:
          connection: berlin
          lease: 20m
          lease: 30m
          parameters:
            min_blobs: 1
            min_blobs: 2
        """,
    )
    assert [fault.text() for fault in file.faults()] == [
        "line 4, cluster 'berlin': lease: it is there twice, first in line 3",
        "line 7, cluster 'berlin': parameters.min_blobs: it is there twice, first in line 6",
    ]


def test_two_entries_of_one_name_are_a_fault_of_both(path: Path) -> None:
    file = read(path, "berlin: {connection: a}\nmunich: {connection: m}\nberlin: {connection: b}")
    assert [(fault.line, fault.problem) for fault in file.faults() if "of this name" in fault.problem] == [
        (1, "there are two entries of this name: remove or rename one of them"),
        (3, "there are two entries of this name: remove or rename one of them"),
    ]
    with pytest.raises(SettingsError, match="two entries of this name"):
        file.settings("berlin")
    assert file.settings("munich").connection == "m"


def test_two_entries_with_one_connection_are_a_fault_that_takes_no_dag_away(path: Path) -> None:
    file = read(path, "berlin: {connection: a}\nmunich:\n  lease: 20m\n  connection: a")
    (fault,) = file.faults()
    assert fault.text() == (
        "line 4, cluster 'munich': connection: a is already that of cluster 'berlin'; each has its own"
    )
    assert [file.settings(name).connection for name in file.names] == ["a", "a"]


class TestDefaults:
    """What several clusters share stands once."""

    def test_an_entry_overrides_them_setting_by_setting(self, path: Path) -> None:
        file = read(
            path,
            """
            defaults:
              lease: 20m
              settle_limit: 30m
              ceilings: {removed_repositories: 5, orphan_share: 0.5}
              parameters: {min_blobs: 7, survey: off}
            berlin: {connection: berlin}
            munich:
              connection: munich
              lease: 40m
              ceilings: {removed_repositories: 6}
              parameters: {min_blobs: 8}
            """,
        )
        assert file.names == ["berlin", "munich"]
        berlin, munich = load_clusters(path)
        assert (berlin.lease, berlin.settle_limit, munich.lease, munich.settle_limit) == ("20m", "30m", "40m", "30m")
        assert (berlin.ceilings.removed_repositories, munich.ceilings.removed_repositories) == (5, 6)
        assert munich.ceilings.orphan_share == 0.5
        assert (berlin.parameters.min_blobs, munich.parameters.min_blobs, munich.parameters.survey) == (7, 8, False)

    def test_what_is_wrong_in_them_is_told_once_and_is_of_those_who_take_it(self, path: Path) -> None:
        file = read(
            path,
            """
            defaults:
              lease: soon
            berlin: {connection: berlin}
            munich: {connection: munich, lease: 20m}
            rome: {connection: rome}
            """,
        )
        (fault,) = file.faults()
        assert (fault.line, fault.entry, fault.problem.split(":")[0]) == (2, "defaults", "lease")
        assert file.settings("munich").lease == "20m"
        for name in ("berlin", "rome"):
            with pytest.raises(SettingsError, match="line 2, cluster 'defaults': lease"):
                file.settings(name)
            settings = file.guard_settings(name)
            assert settings is not None
            assert (settings.connection, settings.lease) == (name, "15m")

    def test_without_them_as_yaml_no_cluster_is_pruned_and_all_are_guarded(self, path: Path) -> None:
        """An entry alone may mean something else."""
        file = read(path, "defaults: {lease: [\nberlin: {connection: berlin}")
        with pytest.raises(SettingsError, match="cluster 'defaults': it cannot be read"):
            file.settings("berlin")
        assert connections_of_guards(file) == {"berlin": "berlin"}

    def test_alone_they_are_no_cluster(self, path: Path) -> None:
        with pytest.raises(SettingsError, match="it should have an entry for each cluster"):
            read(path, "defaults: {lease: 20m}")


def test_without_libyaml_the_file_is_read_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read(path, THREE)
    monkeypatch.setattr(entries, "_Loader", yaml.SafeLoader)
    assert ClustersFile.read(path) == quick


class TestCheck:
    """``python -m include.registry_prune.settings``."""

    def test_a_file_without_a_fault(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path.write_text("berlin: {connection: a}\nmunich: {connection: b}", encoding="utf-8")
        assert main([str(path)]) == 0
        assert capsys.readouterr().out == f"{path}: nothing is wrong. Clusters: berlin, munich\n"

    def test_a_file_with_faults(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        read(path, THREE)
        assert main([str(path)]) == 1
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 4
        assert said[2] == f"{path}:12: cluster 'rome': foo: there is no such setting"

    def test_a_file_that_is_none(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(path)]) == 1
        assert f"{path} is not there" in capsys.readouterr().out
        path.write_text("- a", encoding="utf-8")
        assert main([str(path)]) == 1
        assert "it should have an entry for each cluster" in capsys.readouterr().out


AFTER = {
    "nobody": ("a: {connection: a, after: [stagin]}\nstaging: {connection: s}\n", "is staging meant?", ["staging"]),
    "itself": ("a: {connection: a, after: [a]}\n", "no cluster goes after itself: write after: [] for a", []),
    "each other": (
        "a: {connection: a, after: [b]}\nb: {connection: b, after: [c]}\nc: {connection: c, after: [a]}\n"
        "d: {connection: d, after: [a]}\n",
        "so that each waits for the other",
        ["d"],
    ),
    "a default": (
        "defaults: {after: [staging]}\na: {connection: a}\nstaging: {connection: s}\n",
        "write after: [] for staging",
        ["a"],
    ),
}


@pytest.mark.parametrize(("text", "part", "right"), AFTER.values(), ids=AFTER.keys())
def test_a_cluster_goes_after_others_that_are_there_and_never_in_a_circle(
    tmp_path: Path, text: str, part: str, right: list[str]
) -> None:
    path = tmp_path / "clusters.yaml"
    path.write_text(text, encoding="utf-8")
    file = ClustersFile.read(path)
    assert any(part in fault.problem for fault in file.faults())
    assert [name for name in file.names if not list(file._faults_of(file._entry(name)))] == right
    assert all(file.guard_settings(name) for name in file.names)


def test_a_turn_needs_time_to_wait_for_it() -> None:
    with pytest.raises(SettingsError, match="windows_at_once needs a moment_wait of 2m or more"):
        ClusterSettings.from_mapping("a", {"windows_at_once": 2, "moment_wait": "1m"})
    assert ClusterSettings.from_mapping("a", {"windows_at_once": 2}).windows_at_once == 2
