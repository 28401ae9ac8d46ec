"""A run whose tasks do not share the place of the lists says so before it begins anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from include.registry_prune.lists import shared_place
from include.registry_prune.lists.shared_place import leave_mark, require_mark, why_not_shared
from include.registry_prune.run import place_of_lists
from include.registry_prune.run.base import RegistryOperator
from include.registry_prune.run.place_of_lists import mark_place
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import SettingsError
from include.registry_prune.tasks.before_window import BasePruneImages, GrantImagePruner, RestartRegistry, Survey
from include.registry_prune.tasks.in_window import ArmWindow

BEFORE_WINDOW = (BasePruneImages, RestartRegistry, GrantImagePruner, Survey, ArmWindow)


@pytest.fixture(autouse=True)
def _no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """These disks are never shared late."""
    monkeypatch.setattr(require_mark, "__kwdefaults__", {"lag_seconds": 0.0})


class Disks:
    """Two workers; each sees its own disk at the same path, as two machines do.

    :ivar handed_over: what tasks handed over; it goes through Airflow's database, which all share.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lists"
        self._folder = folder
        self.handed_over: dict[str, Any] = {}
        for worker in ("one", "two"):
            (folder / worker).mkdir()

    def on(self, worker: str) -> None:
        """What is done from now on is done there."""
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self._folder / worker)

    def run(self, artifacts: str | None = None, **parameters: Any) -> Run:
        """The run, as a task on the present worker sees it."""
        context: Any = {
            "dag_run": SimpleNamespace(dag_id="registry_prune", conf=parameters, run_type="manual"),
            "run_id": "manual__now",
            "ti": self,
        }
        run = Run(context, ClusterSettings(artifacts=self.path.as_uri() if artifacts is None else artifacts))
        run.token = "a1"
        return run

    def xcom_push(self, key: str, value: Any) -> None:
        self.handed_over[key] = value

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.handed_over.get(key)

    def begin(self, kind: type[RegistryOperator]) -> None:
        """Begin a task on the present worker; its work is to raise BegunError."""
        task = kind(task_id="task", cluster=ClusterSettings(artifacts=self.path.as_uri()))
        task.carry_out(self.run().context, raise_begun)


class BegunError(Exception):
    """The step went on to its work."""


def raise_begun(_: Run) -> None:
    raise BegunError


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    monkeypatch.setattr("include.registry_prune.run.base.note_try", lambda _: None)
    disks = Disks(tmp_path)
    disks.on("one")
    return disks


@pytest.mark.parametrize("kind", BEFORE_WINDOW)
def test_no_step_is_begun_by_a_worker_that_has_a_disk_of_its_own(disks: Disks, kind: type[RegistryOperator]) -> None:
    mark_place(disks.run())
    disks.on("two")
    with pytest.raises(AirflowFailException, match="they do not share the disk") as failure:
        disks.begin(kind)
    assert "Set artifacts in clusters.yaml to a place that all workers and the triggerer share" in str(failure.value)


@pytest.mark.parametrize("kind", BEFORE_WINDOW)
def test_where_the_disk_is_shared_the_step_is_begun(disks: Disks, kind: type[RegistryOperator]) -> None:
    mark_place(disks.run())
    with pytest.raises(BegunError):
        disks.begin(kind)


def test_what_an_earlier_time_of_this_run_left_on_the_other_disk_is_no_mark(disks: Disks) -> None:
    mark_place(disks.run())
    disks.on("two")
    leave_mark(disks.path.as_uri(), dag_id="registry_prune", run_id="manual__now", token="another")
    with pytest.raises(AirflowFailException, match="they do not share the disk"):
        disks.begin(BasePruneImages)


def test_a_share_may_show_a_file_late(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    mark_place(disks.run())
    disks.on("two")
    monkeypatch.setattr(require_mark, "__kwdefaults__", {"lag_seconds": 60.0})
    monkeypatch.setattr(shared_place, "time", SimpleNamespace(monotonic=lambda: 0, sleep=lambda _: disks.on("one")))
    with pytest.raises(BegunError):
        disks.begin(BasePruneImages)


def test_a_run_that_began_before_an_upgrade_has_no_mark_and_goes_on(disks: Disks) -> None:
    with pytest.raises(BegunError):
        disks.begin(BasePruneImages)


def test_a_place_that_takes_nothing_fails_a_run_that_will_write_lists(disks: Disks, tmp_path: Path) -> None:
    (tmp_path / "one" / "registry_prune").touch()
    with pytest.raises(AirflowException, match="which the setting artifacts names"):
        mark_place(disks.run())
    mark_place(disks.run(hard_prune="never", survey=False))
    assert disks.handed_over == {}


def test_a_bucket_is_one_place_for_all(disks: Disks, tmp_path: Path) -> None:
    attach("memory", fs=MemoryFileSystem())
    mark = leave_mark("memory://bucket/lists", dag_id="dag", run_id="run", token="a1")
    assert ObjectStoragePath(mark.url).read_text() == "a1"
    ObjectStoragePath(mark.url).unlink()
    require_mark(mark)


@pytest.mark.parametrize(
    ("artifacts", "executor", "refused"),
    [
        ("", "LocalExecutor", False),
        ("", "airflow.executors.local_executor.LocalExecutor", False),
        ("", "CeleryExecutor", True),
        ("", "LocalExecutor,KubernetesExecutor", True),
        ("", "LocalExecutor;team=CeleryExecutor", True),
        ("", "LocalExecutor;team=LocalExecutor", False),
        ("", "airflow.providers.celery.executors.celery_executor.CeleryExecutor", True),
        ("s3://bucket/lists", "CeleryExecutor", False),
        ("file:///shared/lists", "CeleryExecutor", False),
    ],
)
def test_the_settings_alone_may_say_that_tasks_do_not_share_a_disk(
    artifacts: str, executor: str, *, refused: bool
) -> None:
    assert bool(why_not_shared(artifacts, executor)) is refused


def test_a_run_with_many_workers_and_no_place_is_refused_at_once(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    executor_is(monkeypatch, "CeleryExecutor")
    with pytest.raises(SettingsError, match="executor is CeleryExecutor, and artifacts is not set"):
        mark_place(disks.run(artifacts=""))
    mark_place(disks.run())


def executor_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    get: Callable[[str, str], str] = lambda *_: name  # noqa: E731 - a value of conf
    monkeypatch.setattr(place_of_lists, "conf", SimpleNamespace(get=get))
