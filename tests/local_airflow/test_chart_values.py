"""The Helm values in deploy/: they go together, and what checks them against the chart's schema finds what is wrong.

The chart's own schema is no part of this project: `make chart SCHEMA=…` checks against it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf
from airflow.utils.process_utils import resolve_mp_start_method

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy" / "values"
FILES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
SCHEMA = {
    "properties": {
        "executor": {"type": "string"},
        "apiServer": {"additionalProperties": False, "properties": {"replicas": {"type": "integer"}}},
        "config": {"additionalProperties": {"additionalProperties": {"type": ["string", "number"]}}},
        "volume": {"description": "beside a reference", "$ref": "#/definitions/volume"},
    },
    "definitions": {"volume": {"properties": {"name": {"type": "string"}}}},
}


def check(folder: Path, *values: dict[str, Any]) -> tuple[int, list[str]]:
    """What the script of `make chart` says of these files, in this order, and its exit status."""
    (folder / "schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    names = [str(folder / f"{number}.yaml") for number in range(len(values))]
    for name, each in zip(names, values, strict=True):
        Path(name).write_text(yaml.safe_dump(each), encoding="utf-8")
    command = [sys.executable, "-m", "local_airflow.chart_values", str(folder / "schema.json"), *names]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [line.strip() for line in done.stdout.splitlines()[1:]]


def test_values_that_the_schema_allows_pass(tmp_path: Path) -> None:
    first = {"executor": "LocalExecutor", "config": {"core": {"parallelism": 4, "a": "b"}}, "volume": {"name": "v"}}
    assert check(tmp_path, first, {"config": {"core": {"a": "c"}}}) == (0, [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"executors": "LocalExecutor"}, "executors: the chart knows no such value"),
        ({"volume": {"nam": "v"}}, "volume.nam: the chart knows no such value"),
        ({"config": {"core": {"a": None}}}, "config.core.a: None is not of type 'string', 'number'"),
        ({"apiServer": {"replica": 1}}, "apiServer: Additional properties are not allowed ('replica' was unexpected)"),
    ],
    ids=["a name that is not there", "one behind a reference", "null", "a name that is refused"],
)
def test_what_the_chart_would_refuse_or_not_use_is_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    assert check(tmp_path, values) == (1, [said])


def test_a_later_file_decides_and_objects_are_merged(tmp_path: Path) -> None:
    wrong, right = {"config": {"core": {"a": None, "b": "b"}}}, {"config": {"core": {"a": "a"}}}
    assert check(tmp_path, wrong, right)[0] == 0
    assert check(tmp_path, right, wrong)[0] == 1


def lists(values: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Where a file sets what Helm replaces as a whole: a list, or a text of several lines."""
    if isinstance(values, dict):
        return {found for name, each in values.items() for found in lists(each, (*path, name))}
    return {path} if isinstance(values, list) or "\n" in str(values) else set()


def test_no_file_takes_away_what_another_one_adds() -> None:
    """Of two files with one list Helm uses the later one's."""
    seen = [each for values in FILES.values() for each in lists(values)]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("name", FILES)
def test_airflow_knows_each_option(name: str) -> None:
    """A name that Airflow does not know is ignored without a word. Those of Celery are known where Celery is: see
    tests/distributed/."""
    for section, options in FILES[name].get("config", {}).items():
        if section == "celery":
            continue
        for option in options:
            described = "core" if option == "mp_start_method" else section
            assert option in conf.configuration_description[described]["options"], option


@pytest.mark.parametrize("name", ["celery", "kubernetes"])
def test_other_executors_have_airflow_s_own_way_to_start_processes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SCHEDULER__MP_START_METHOD", "forkserver")
    assert resolve_mp_start_method("scheduler") == "forkserver"
    monkeypatch.setenv("AIRFLOW__SCHEDULER__MP_START_METHOD", FILES[name]["config"]["scheduler"]["mp_start_method"])
    assert resolve_mp_start_method("scheduler") is None


def test_tasks_find_the_project_compiled() -> None:
    """In the image beside its code, and with git-sync, whose copy cannot be written beside, in another folder."""
    copied, _, then = DOCKERFILE.partition("\nCOPY --chown=airflow:0 . /opt/registry-prune/\n")
    compiled = re.search(r"^RUN python -m compileall -q (.+)$", then, re.MULTILINE)
    assert copied
    assert compiled is not None
    assert compiled[1].split() == [f"/opt/registry-prune/{name}" for name in ("include", "dags", "plugins")]
    assert "PYTHONPYCACHEPREFIX" in {each["name"] for each in FILES["git-sync"]["env"]}


def test_the_chart_is_told_the_version_of_the_image() -> None:
    image = re.search(r"^FROM apache/airflow:([\d.]+)-", DOCKERFILE, re.MULTILINE)
    assert image is not None
    assert FILES["image"]["airflowVersion"] == image[1]


def test_with_git_sync_the_pulled_code_comes_first_and_the_image_s_second() -> None:
    """The image's own is what the api-server has: the chart gives it no copy of the repository."""
    values = FILES["git-sync"]
    variables = {each["name"]: each["value"] for each in values["env"]}
    pulled = "/opt/airflow/dags/repo"
    in_image = re.search(r"PYTHONPATH=(\S+)", DOCKERFILE)
    assert in_image is not None
    assert variables["PYTHONPATH"] == f"{pulled}:{in_image[1]}"
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == f"{pulled}/{values['dags']['gitSync']['subPath']}"
