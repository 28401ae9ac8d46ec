from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
import yaml

from local_airflow.clusters.kubeconfig import ChosenCluster, choose_cluster
from local_airflow.errors import LocalAirflowError


def write(file: Path, current: str | None, *names: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current or "",
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-user"}} for name in names],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"}} for name in names],
        "users": [{"name": f"{name}-user", "user": {"token": "t"}} for name in names],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def test_current_context_is_used_and_said(tmp_path: Path) -> None:
    chosen = choose_cluster(str(write(tmp_path / "config", "east", "east", "west")), None)
    assert chosen.connection.context == "east"
    assert chosen.description == "https://east:6443 as east-user (context east)"


def test_named_context_wins(tmp_path: Path) -> None:
    chosen = choose_cluster(str(write(tmp_path / "config", "east", "east", "west")), "west")
    assert chosen.connection.context == "west"
    assert "https://west:6443" in chosen.description


def test_several_files_are_merged_as_kubectl_does(tmp_path: Path) -> None:
    first = write(tmp_path / "first", None, "east")
    second = write(tmp_path / "second", "west", "west")
    chosen = choose_cluster(os.pathsep.join([str(first), str(tmp_path / "missing"), str(second)]), None)
    assert chosen.connection.context == "west"
    assert chosen.connection.kubeconfig == os.pathsep.join([str(first), str(second)])


def test_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config", "east", "east")
    monkeypatch.chdir(tmp_path)
    assert choose_cluster("config", None).connection.kubeconfig == str(tmp_path / "config")


def to(server: str) -> ChosenCluster:
    context = {"name": "any", "context": {"cluster": "any"}}
    cluster = {"name": "any", "cluster": {"server": server}}
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"current-context": "any", "contexts": [context], "clusters": [cluster]}, file)
        file.flush()
        return choose_cluster(file.name, None)


def test_a_cluster_has_one_folder_whatever_its_context_is_called(tmp_path: Path) -> None:
    write(tmp_path / "config", "east", "east", "west")
    content = yaml.safe_load((tmp_path / "config").read_text())
    content["contexts"].append({"name": "admin", "context": {"cluster": "east", "user": "another"}})
    (tmp_path / "renamed").write_text(yaml.safe_dump(content))
    east = choose_cluster(str(tmp_path / "config"), "east").folder_name
    assert east == "east_6443"
    assert choose_cluster(str(tmp_path / "renamed"), "admin").folder_name == east
    assert choose_cluster(str(tmp_path / "config"), "west").folder_name != east


def test_a_context_that_is_pointed_at_another_cluster_has_another_folder(tmp_path: Path) -> None:
    write(tmp_path / "config", "east", "east")
    before = choose_cluster(str(tmp_path / "config"), None)
    (tmp_path / "config").write_text((tmp_path / "config").read_text().replace("https://east", "https://new-east"))
    assert choose_cluster(str(tmp_path / "config"), None).folder_name == "new-east_6443" != before.folder_name


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("https://api.example.com:6443", "https://API.Example.com.:6443/"),
        ("https://api.example.com", "https://api.example.com:443"),
        ("https://proxy/k8s/clusters/c-1", "https://proxy:443/k8s/clusters/c-1/"),
    ],
)
def test_one_server_in_two_spellings_is_one_cluster(one: str, same: str) -> None:
    assert to(one).folder_name == to(same).folder_name


def test_two_servers_never_share_a_folder_and_its_name_is_safe() -> None:
    servers = [
        "https://api.example.com:6443",
        "https://api.example.com:6444",
        "https://api.example.com:443",
        "https://proxy/k8s/a/b",
        "https://proxy/k8s/a_b",
        "https://proxy/k8s/A_b",
        "https://proxy/../../etc",
        "https://[::1]:6443",
        f"https://{'a' * 300}:6443",
        f"https://{'a' * 301}:6443",
    ]
    names = [to(server).folder_name for server in servers]
    assert len(set(names)) == len(servers)
    assert names[0] == "api.example.com_6443"
    for name in names:
        assert re.fullmatch(r"[a-z0-9][A-Za-z0-9._-]{0,200}|_+1_6443-[0-9a-f]+", name), name


@pytest.mark.parametrize("server", ["", "api.example.com:6443", "https://", "https://api:port", "file:///etc"])
def test_a_context_without_a_server_is_refused(server: str) -> None:
    with pytest.raises(LocalAirflowError, match=r"context any of .* leads to no API server"):
        to(server)


@pytest.mark.parametrize(
    ("content", "context", "message"),
    [
        (None, None, "there is no kubeconfig"),
        ("[1, 2]", None, "is no kubeconfig"),
        ("{a: [", None, "cannot be read"),
        ("{contexts: [{name: east}]}", None, "no current context; choose one with CONTEXT=…: east"),
        ("{contexts: [{name: east}]}", "north", "no context 'north'; it has: east"),
        ("{current-context: gone}", None, "no context 'gone'; it has: none"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str | None, context: str | None, message: str) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LocalAirflowError, match=message):
        choose_cluster(str(file), context)
