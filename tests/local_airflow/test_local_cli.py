from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from local_airflow.cli import build_parser, main, parse_parameter, stack_options
from local_airflow.errors import LocalAirflowError
from local_airflow.stack import StackOptions


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    content = {"current-context": "east", "contexts": [{"name": "east"}, {"name": "west"}]}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def options(*arguments: str) -> StackOptions:
    return stack_options(build_parser().parse_args(["run", *arguments]))


def test_without_options_a_sandbox_with_many_orphans_is_pruned() -> None:
    chosen = options()
    assert chosen.cluster is None
    assert chosen.parameters == {}
    assert chosen.seed_arguments == ("--images", "300", "--orphans", "3000")


def test_seed_is_chosen() -> None:
    chosen = options("--images", "5", "--orphans", "7", "--seed", "1", "--cause", "a", "--cause", "b")
    assert " ".join(chosen.seed_arguments) == "--images 5 --orphans 7 --seed 1 --cause a --cause b"


def test_real_cluster_is_only_looked_at_unless_a_prune_is_asked_for(kubeconfig: str) -> None:
    assert options("--kubeconfig", kubeconfig).parameters == {"dry_run_only": True}
    assert options("--kubeconfig", kubeconfig, "--mode", "prune").parameters == {}


def test_dry_run_is_not_switched_off_by_a_parameter(kubeconfig: str) -> None:
    with pytest.raises(LocalAirflowError, match="--mode prune"):
        options("--kubeconfig", kubeconfig, "--param", "dry_run_only=false")


def test_context_is_chosen(kubeconfig: str) -> None:
    cluster = options("--kubeconfig", kubeconfig, "--context", "west").cluster
    assert cluster is not None
    assert cluster.connection.context == "west"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--context", "west"], "--context goes with --kubeconfig"),
        (["run", "--kubeconfig", "/nowhere"], "there is no kubeconfig /nowhere"),
        (["run", "--param", "min_blobs"], "KEY=VALUE, not as 'min_blobs'"),
        (["run", "--mode", "delete"], "invalid choice"),
        (["run", "--dags-folder", "/nowhere"], "there is no folder /nowhere"),
        ([], "required: command"),
    ],
)
def test_wrong_options_are_explained_and_nothing_is_started(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("min_blobs=5", ("min_blobs", 5)),
        ("min_size=2GiB", ("min_size", "2GiB")),
        ("base_prune=false", ("base_prune", False)),
        ("keep_younger_than=null", ("keep_younger_than", None)),
        ("a=b=c", ("a", "b=c")),
        ("a=", ("a", "")),
    ],
)
def test_parameter_values_are_json_or_words(text: str, expected: tuple[str, Any]) -> None:
    assert parse_parameter(text) == expected


def test_status_and_down_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = str(tmp_path / "state")
    assert main(["status", "--state", state]) == 3
    assert main(["down", "--state", state]) == 0
    assert "nothing" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()
