"""The DAG file as Airflow's dag-processor sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID, _AIRFLOW_PARSING_CONTEXT_TASK_ID
from airflow.serialization.serialized_objects import DagSerialization

from include.registry_prune.settings.clusters_file import CLUSTERS_FILE_VARIABLE
from tests.dags.dag_processor import process

DAGS = Path(__file__).parents[2] / "dags"
DAG_FILE, GUARD_FILE, UNDO_FILE, SETTINGS_FILE = (
    DAGS / f"registry_{name}.py" for name in ("prune", "guard", "undo", "settings")
)

TWO_CLUSTERS = """
default: {}
berlin:
  connection: openshift_berlin
  schedule: "40 2 * * 0"
  parameters: {min_blobs: 50, min_size: 10GiB}
"""


@pytest.fixture
def clusters_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings of the clusters are looked for; not written yet."""
    file = tmp_path / "clusters.yaml"
    monkeypatch.setenv(CLUSTERS_FILE_VARIABLE, str(file))
    return file


def in_new_process(code: str, **environment: str) -> str:
    """What a new Python prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=DAGS.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_workers_on_many_machines_without_a_place_for_the_lists_are_an_import_error(
    clusters_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DAGs stay: their runs refuse to begin."""
    clusters_file.write_text(f"{TWO_CLUSTERS}  artifacts: s3://bucket/lists\n")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    bag = DagBag(dag_folder=str(DAGS))
    (error,) = bag.import_errors.values()
    assert "cluster 'default': Airflow's executor is CeleryExecutor, and artifacts is not set" in error
    assert "berlin" not in error
    assert "registry_prune" in bag.dags


def test_every_file_of_the_folder_is_imported_without_an_error() -> None:
    bag = DagBag(dag_folder=str(DAGS))
    assert bag.import_errors == {}
    assert "registry_prune" in bag.dag_ids


def test_the_dag_processor_stores_the_dag_as_it_is(tmp_path: Path, dag: DAG) -> None:
    processed = process(DAG_FILE, tmp_path / "log")
    assert processed.parsed is not None, processed.log
    assert not processed.parsed.import_errors
    (stored,) = processed.parsed.serialized_dags
    read_back = DagSerialization.from_dict(stored.data)
    assert read_back.dag_id == "registry_prune"
    for task in dag.tasks:
        again = read_back.get_task(task.task_id)
        assert again.upstream_task_ids == task.upstream_task_ids
        assert (again.is_setup, again.is_teardown) == (task.is_setup, task.is_teardown)
        assert again.trigger_rule == task.trigger_rule
        assert again.retries == task.retries
        assert again.execution_timeout == task.execution_timeout


def test_the_stored_dag_is_the_same_in_every_process() -> None:
    """Else each parse, every few seconds, would make a new version of the DAG in Airflow's database."""
    code = (
        "import dags.registry_prune as file\n"
        "from airflow.serialization.serialized_objects import DagSerialization\n"
        "from airflow.models.serialized_dag import SerializedDagModel\n"
        "print(SerializedDagModel.hash(DagSerialization.to_dict(file.registry_prune)))"
    )
    hashes = {in_new_process(code, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(hashes) == 1


def test_parsing_imports_neither_kubernetes_nor_what_posts_alerts() -> None:
    """The file is parsed every few seconds, and these take longer than all the rest."""
    code = (
        "import json, sys\n"
        "from airflow.sdk import DAG\n"
        "before = set(sys.modules)\n"
        "import dags.registry_prune\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    imported = json.loads(in_new_process(code))
    heavy = ("kubernetes", "kubernetes_asyncio", "websocket", "requests", "aiohttp", "airflow.providers")
    # Of the providers the one with the approval alone: a few small modules, which take a hundredth of a second.
    light = ("airflow.providers.standard", "airflow.providers.common.compat")
    assert [name for name in imported if name.startswith(heavy) and not name.startswith(light)] == []
    assert "include.registry_prune.run.base" in imported


def test_each_cluster_of_the_file_makes_a_dag(clusters_file: Path) -> None:
    clusters_file.write_text(TWO_CLUSTERS, encoding="utf-8")
    bag = DagBag(dag_folder=str(DAG_FILE))
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == ["registry_prune", "registry_prune_berlin"]
    default, berlin = (bag.dags[dag_id] for dag_id in sorted(bag.dag_ids))
    assert [str(default.schedule), str(berlin.schedule)] == ["15 3 * * *", "40 2 * * 0"]
    assert (default.params["min_blobs"], berlin.params["min_blobs"]) == (1_000, 50)
    survey: Any = berlin.get_task("survey")
    assert survey.cluster.connection == "openshift_berlin"
    assert default.task_ids == berlin.task_ids


def test_each_cluster_has_a_guard_of_its_own(clusters_file: Path) -> None:
    """So that one whose guard hangs keeps no other waiting."""
    clusters_file.write_text(TWO_CLUSTERS, encoding="utf-8")
    bag = DagBag(dag_folder=str(GUARD_FILE))
    assert bag.import_errors == {}
    assert {dag_id: dag.task_ids for dag_id, dag in bag.dags.items()} == {
        "registry_guard": ["guard_default"],
        "registry_guard_berlin": ["guard_berlin"],
    }
    task: Any
    (task,) = bag.dags["registry_guard_berlin"].tasks
    assert task.cluster.connection == "openshift_berlin"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("berlin: {settle_limit: soon}", ["cluster 'berlin'", "settle_limit", "'soon'", "for example 60m"]),
        ("berlin: {conection: x}", ["cluster 'berlin'", "conection", "there is no such setting"]),
        ("berlin: {parameters: {min_size: 2 gigs}}", ["parameters.min_size", "'2 gigs'", "2GiB"]),
        ("berlin: {parameters: {min_blobs: -1}}", ["parameters.min_blobs", "'-1'"]),
        ("Berlin: {}", ["cluster 'Berlin'", "name"]),
        ("- berlin", ["clusters.yaml", "an entry for each cluster"]),
        ("berlin: [", ["clusters.yaml", "cannot be read"]),
    ],
)
def test_a_broken_clusters_file_is_an_import_error_that_says_what_is_wrong(
    clusters_file: Path, content: str, said: list[str]
) -> None:
    clusters_file.write_text(content, encoding="utf-8")
    assert DagBag(dag_folder=str(DAG_FILE)).dags == {}
    bag = DagBag(dag_folder=str(SETTINGS_FILE))
    assert bag.dags == {}
    (message,) = bag.import_errors.values()
    missing = [fragment for fragment in said if fragment not in message]
    assert missing == [], message


def test_a_clusters_file_that_is_named_but_not_there_is_an_import_error(clusters_file: Path) -> None:
    bag = DagBag(dag_folder=str(DAG_FILE))
    (message,) = bag.import_errors.values()
    assert str(clusters_file) in message
    assert CLUSTERS_FILE_VARIABLE in message


ONE_IS_WRONG = """
berlin:
  connection: openshift_berlin
  settle_limit: soon
munich: {connection: openshift_munich}
"""


def test_a_wrong_entry_takes_only_its_own_dag_away(clusters_file: Path) -> None:
    clusters_file.write_text(ONE_IS_WRONG, encoding="utf-8")
    bag = DagBag(dag_folder=str(DAGS))
    assert sorted(bag.dag_ids) == ["registry_guard_berlin", "registry_guard_munich", "registry_prune_munich"]
    ((file, message),) = bag.import_errors.items()
    assert file == str(SETTINGS_FILE)
    assert "line 4, cluster 'berlin': settle_limit: 'soon' is not a duration: write for example 60m" in message
    guard: Any = bag.dags["registry_guard_berlin"].tasks[0]
    assert (guard.cluster.connection, guard.cluster.settle_limit) == ("openshift_berlin", "15m")


@pytest.mark.parametrize("file", [DAG_FILE, GUARD_FILE], ids=lambda file: file.stem)
def test_the_dag_processor_tells_of_no_error_in_a_file_with_dags(
    clusters_file: Path, tmp_path: Path, file: Path
) -> None:
    """An import error of a file makes every DAG in it stale: none is scheduled any more."""
    clusters_file.write_text(ONE_IS_WRONG, encoding="utf-8")
    processed = process(file, tmp_path / "log")
    assert processed.parsed is not None, processed.log
    assert not processed.parsed.import_errors
    assert f"{file.stem}_munich" in [dag.dag_id for dag in processed.parsed.serialized_dags]


def test_a_file_that_cannot_be_read_is_an_error_of_every_dag_file(clusters_file: Path) -> None:
    clusters_file.write_text("- berlin", encoding="utf-8")
    bag = DagBag(dag_folder=str(DAGS))
    assert bag.dags == {}
    assert sorted(bag.import_errors) == sorted(str(file) for file in (DAG_FILE, GUARD_FILE, UNDO_FILE, SETTINGS_FILE))


@pytest.fixture
def task_of_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Airflow parses a DAG file in the process of a task. Its own context manager leaves the variables behind."""
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "registry_prune_berlin")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, "survey")


@pytest.mark.usefixtures("task_of_berlin")
class TestInATaskOfBerlin:
    """Airflow parses the whole file in each task's process, inside the window too."""

    def test_only_its_own_dag_is_built(self, clusters_file: Path) -> None:
        clusters_file.write_text(TWO_CLUSTERS, encoding="utf-8")
        assert DagBag(dag_folder=str(DAG_FILE)).dag_ids == ["registry_prune_berlin"]
        assert DagBag(dag_folder=str(GUARD_FILE)).dag_ids == []

    def test_what_is_wrong_in_another_entry_does_not_matter(self, clusters_file: Path) -> None:
        clusters_file.write_text(TWO_CLUSTERS + "munich: {lease: soon}", encoding="utf-8")
        bag = DagBag(dag_folder=str(DAG_FILE))
        assert (bag.dag_ids, bag.import_errors) == (["registry_prune_berlin"], {})

    def test_what_is_wrong_in_its_own_is_in_the_task_s_log(self, clusters_file: Path) -> None:
        clusters_file.write_text(ONE_IS_WRONG, encoding="utf-8")
        (message,) = DagBag(dag_folder=str(DAG_FILE)).import_errors.values()
        assert "line 4, cluster 'berlin': settle_limit" in message
        assert "munich" not in message


def test_the_parameters_are_stored_once_and_not_with_each_task(dag: DAG) -> None:
    """With each task they made 98 % of what Airflow stores, and of the time that it takes."""
    stored = DagSerialization.to_dict(dag)
    assert len(stored["dag"]["params"]) == len(dag.params) > 0
    assert [task["__var"]["task_id"] for task in stored["dag"]["tasks"] if "params" in task["__var"]] == []
