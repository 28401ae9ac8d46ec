from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from local_airflow.cli import (
    PROJECT,
    background_states,
    build_parser,
    default_state,
    main,
    parse_parameter,
    stack_options,
)
from local_airflow.commands.stack import StackOptions
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.state import InstanceRecord, StateFolder


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    content = {
        "current-context": "east",
        "contexts": [{"name": name, "context": {"cluster": name}} for name in ("east", "west")],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"}} for name in ("east", "west")],
    }
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


def test_ceilings_to_pass_are_a_word_each(kubeconfig: str) -> None:
    once = options("--kubeconfig", kubeconfig, "--mode", "prune", "--pass", "orphan_share, earlier_runs")
    assert once.parameters == {"pass_ceilings": ["orphan_share", "earlier_runs"]}
    repeated = options("--pass", "orphan_share", "--pass", "earlier_runs,orphan_share")
    assert repeated.parameters == {"pass_ceilings": ["orphan_share", "earlier_runs"]}


def test_a_real_cluster_has_a_folder_of_its_own_which_run_and_up_share(kubeconfig: str) -> None:
    chosen = options("--kubeconfig", kubeconfig, "--context", "west").cluster
    folders = {default_state(command, chosen).relative_to(PROJECT).as_posix() for command in ("run", "up")}
    assert folders == {".state/clusters/west_6443"}
    assert default_state("run", None) != default_state("up", None)


@pytest.mark.parametrize("command", ["run", "up"])
def test_a_start_works_in_the_folder_of_its_cluster_unless_another_is_named(
    command: str, kubeconfig: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: list[Path] = []

    def start(chosen: StackOptions, state: StateFolder) -> int:
        roots.append(state.root)
        return 0

    monkeypatch.setattr(f"local_airflow.cli.{command}", start)
    main([command, "--kubeconfig", kubeconfig])
    main([command, "--kubeconfig", kubeconfig, "--state", str(tmp_path)])
    main([command])
    assert roots == [PROJECT / ".state" / "clusters" / "east_6443", tmp_path, PROJECT / ".state" / command]


def test_down_and_status_look_at_what_was_started_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_airflow.cli.STATES", tmp_path)
    monkeypatch.setattr("local_airflow.cli.CLUSTER_STATES", tmp_path / "clusters")
    for name, background in (("east_6443", True), ("west_6443", False), ("north_6443", None)):
        state = StateFolder(tmp_path / "clusters" / name)
        state.root.mkdir(parents=True)
        if background is not None:
            InstanceRecord("http://127.0.0.1:1", name, None, background, []).write(state)
    found = [state.root.relative_to(tmp_path).as_posix() for state in background_states(None)]
    assert found == ["up", "clusters/east_6443"]
    assert [state.root for state in background_states(tmp_path / "named")] == [tmp_path / "named"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--context", "west"], "--context goes with --kubeconfig"),
        (["run", "--kubeconfig", "/nowhere"], "there is no kubeconfig /nowhere"),
        (["run", "--param", "min_blobs"], "KEY=VALUE, not as 'min_blobs'"),
        (["run", "--mode", "delete"], "invalid choice"),
        (["run", "--pass", " ,"], "--pass names no ceiling"),
        (["run", "--pass", "orphan_share", "--param", 'pass_ceilings=["earlier_runs"]'], "say the same twice"),
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
