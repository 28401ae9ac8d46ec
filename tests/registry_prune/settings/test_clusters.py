"""``clusters.yaml``: every wrong value is named, with what it should be; nothing wrong is passed over."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.settings import clusters_file
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE, load_clusters
from include.registry_prune.settings.parameters import RunParameters, SettingsError


@pytest.fixture(autouse=True)
def no_inherited_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTERS_FILE_VARIABLE, raising=False)


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "clusters.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_the_clusters_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        prod-berlin:
          connection: kubernetes_berlin
          schedule: "30 1 * * *"
          settle_limit: 30m
          artifacts: s3://bucket/registry-prune
          ceilings: {orphan_share: 1, removed_repositories: 500}
          parameters: {min_blobs: 5000, min_size: 10GiB, keep_younger_than: 96h, base_prune: off}
        default:
        by_hand: {connection: kubernetes_by_hand, schedule: null}
        """,
    )
    berlin, default, by_hand = load_clusters(file)
    assert [each.dag_id for each in (berlin, default, by_hand)] == [
        "registry_prune_prod-berlin",
        "registry_prune",
        "registry_prune_by_hand",
    ]
    assert berlin.connection == "kubernetes_berlin"
    assert berlin.seconds("settle_limit") == 1800
    assert berlin.parameters == RunParameters(
        min_blobs=5000, min_size="10GiB", keep_younger_than="96h", base_prune=False
    )
    assert (berlin.ceilings.limits.orphan_share, berlin.ceilings.limits.removed_repositories) == (1, 500)
    assert default == ClusterSettings()
    assert by_hand.schedule is None


def test_without_a_file_there_is_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        clusters_file, "__file__", str(tmp_path / "include" / "registry_prune" / "settings" / "clusters_file.py")
    )
    assert load_clusters() == [ClusterSettings()]


def test_the_file_in_the_projects_root_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        clusters_file, "__file__", str(tmp_path / "include" / "registry_prune" / "settings" / "clusters_file.py")
    )
    write(tmp_path, "berlin: {}")
    assert [each.name for each in load_clusters()] == ["berlin"]


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(write(tmp_path, "berlin: {}")))
    assert [each.name for each in load_clusters()] == ["berlin"]


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "nowhere.yaml"
    with pytest.raises(SettingsError, match=f"{missing} is not there"):
        load_clusters(missing)
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(missing))
    with pytest.raises(SettingsError, match=f"{missing} is not there: {CLUSTERS_FILE_VARIABLE} names it"):
        load_clusters()


@pytest.mark.parametrize("content", ["", "# nothing", "{}", "null", "text", "[default]", "5", "1: {}", "? [a]\n: {}"])
def test_a_file_without_entries_is_an_error(tmp_path: Path, content: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(SettingsError) as error:
        load_clusters(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    "content", ["a: {b", "a: \t- b", "a: *nowhere", b"\xff\xfe\x00", "a: 2001-13-01", "!!python/object:os.system {}"]
)
def test_a_file_that_is_no_yaml_is_an_error(tmp_path: Path, content: str | bytes) -> None:
    file = write(tmp_path, content)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_clusters(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_clusters(tmp_path)


@pytest.mark.parametrize("values", ["text", "5", "[a, b]", "true"])
def test_an_entry_that_is_no_mapping_is_an_error(tmp_path: Path, values: str) -> None:
    with pytest.raises(SettingsError, match=r"cluster 'berlin': its settings should be a mapping"):
        load_clusters(write(tmp_path, f"default: {{}}\nberlin: {values}"))


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("{conection: x}", ["conection: there is no such setting"]),
        ("{1: x}", ["1: Keys should be strings"]),
        ("{name: other}", ["name: the key of the entry is the cluster's name"]),
        ("{connection: 5}", ["connection: Input should be a valid string (it is '5')"]),
        ("{connection: 'a b'}", ["connection: String should match pattern"]),
        ("{settle_limit: 15}", ["settle_limit: Input should be a valid string (it is '15')"]),
        ("{opening_hours: 22-5}", ["opening_hours: '22-5' are no opening hours: write for example 22:00-05:00"]),
        ("{time_zone: Berlin}", ["time_zone: 'Berlin' is no time zone: write for example UTC or Europe/Berlin"]),
        ("{approval_default: perhaps}", ["approval_default: Input should be 'reject' or 'approve'"]),
        ("{settle_limit: 15 minutes}", ["settle_limit: '15 minutes' is not a duration: write for example 60m"]),
        ("{lease: 3d}", ["lease: '3d' is not a duration"]),
        (
            "{follow_every: 0s}",
            ["follow_every: '0s' is no time at all: write something longer, such as 15s"],
        ),
        ("{lease: 0h0m}", ["lease: '0h0m' is no time at all"]),
        ("{window_limit: 0s}", ["window_limit: '0s' is no time at all"]),
        ("{delete_limit: 48h}", ["delete_limit: there is no such setting any more: window_limit bounds"]),
        ("{follow_patience: 0ms}", ["follow_patience: '0ms' is no time at all"]),
        ("{pod_log: 0B}", ["pod_log: '0B' should be 256 KiB to 32 MiB: the pod's /dev/shm has 64 MiB"]),
        ("{pod_log: 255KiB}", ["pod_log: '255KiB' should be 256 KiB to 32 MiB"]),
        ("{pod_log: 64MiB}", ["pod_log: '64MiB' should be 256 KiB to 32 MiB"]),
        ("{pod_log: much}", ["pod_log: 'much' is not a size"]),
        ("{schedule: 5}", ["schedule: Input should be a valid string"]),
        ("{ceilings: {orphan_share: 80}}", ["ceilings.orphan_share: Input should be less than or equal to 1"]),
        ("{ceilings: {orphan_share: .nan}}", ["ceilings.orphan_share: Input should be"]),
        ("{ceilings: {orphan_share: 0}}", ["ceilings.orphan_share: Input should be greater than 0"]),
        ("{ceilings: {removed_repositories: -1}}", ["ceilings.removed_repositories: Input should be greater than"]),
        ("{ceilings: {earlier_runs: .inf}}", ["ceilings.earlier_runs: Input should be a finite number"]),
        ("{ceilings: {estimated_time: 8h}}", ["ceilings.estimated_time: there is no such setting any more: what"]),
        ("{ceilings: {no_images: 5}}", ["ceilings.no_images: there is no such setting"]),
        ("{parameters: {pass_ceilings: [orphan_share]}}", ["parameters: pass_ceilings is for one run and a person"]),
        ("{parameters: null}", ["parameters: Input should be a valid dictionary"]),
        ("{parameters: {min_size: 2 gigs}}", ["parameters.min_size: '2 gigs' is not a size"]),
        ("{parameters: {min_blob: 2}}", ["parameters.min_blob: there is no such setting"]),
        (
            "{parameters: {hard_prune: sometimes}}",
            ["parameters.hard_prune: Input should be 'auto', 'force' or 'never'"],
        ),
        (
            "{foo: 1, window_limit: soon, parameters: {min_blobs: 0}}",
            ["foo: there is no such setting", "window_limit: 'soon'", "parameters.min_blobs: Input should be greater"],
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_cluster(tmp_path: Path, entry: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        load_clusters(write(tmp_path, f"default: {{}}\nberlin: {entry}"))
    message = str(error.value)
    assert "cluster 'berlin'" in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["Berlin", "a b", "-a", "a.b", "a/b", "a" * 64, '"a\\n"'])
def test_a_name_that_makes_no_dag_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="name: String should match pattern"):
        load_clusters(write(tmp_path, f"{name}: {{}}"))


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["default", "lease", "parameters", "min_size", "x"]) | st.text(), inner)
        ),
        max_leaves=8,
    )
)
def test_no_entry_is_too_strange(content: object) -> None:
    if not isinstance(content, dict):
        content = {"lease": content}
    with suppress(SettingsError):
        assert ClusterSettings.from_mapping("berlin", content).name == "berlin"


@pytest.mark.parametrize("name", ["silence", "defer_after", "moment_wait", "base_prune_wait", "pruner_stop"])
def test_durations_that_may_be_none_may_be_zero(name: str) -> None:
    assert ClusterSettings.from_mapping("berlin", {name: "0s"}).name == "berlin"


@pytest.mark.parametrize("size", ["256KiB", "1MiB", "32MiB"])
def test_the_log_in_the_pod_may_be_so_large(size: str) -> None:
    assert ClusterSettings.from_mapping("berlin", {"pod_log": size}).pod_log == size


def test_the_lease_outlasts_an_airflow_that_is_away_for_a_few_minutes() -> None:
    """It is renewed every third of its life; two renewals may fail before the guard takes the run for dead."""
    assert ClusterSettings().seconds("lease") * 2 / 3 >= 600
