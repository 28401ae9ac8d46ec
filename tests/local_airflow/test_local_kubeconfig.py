from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from local_airflow.errors import LocalAirflowError
from local_airflow.kubeconfig import choose_cluster


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
