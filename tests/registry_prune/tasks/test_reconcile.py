"""The task that reconciles: by the delete's list, else by a dry run afterwards; and it never decides anything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.registry_prune.alerts.alerts import ImageLostError
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.lists.artifacts import artifact_path, candidate_writer
from include.registry_prune.lists.reconciliation import Basis, Reconciliation
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult, Summary
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.reconcile import Reconcile
from include.registry_prune.window.lease import Lease

ARMED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def digest(number: int) -> str:
    return f"{number:064x}"


def name(number: int) -> str:
    return f"sha256:{digest(number)}"


class World:
    """A run's lists, and the task with what it asks played."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states = {"hard_prune": "success"}
        self.results: dict[str, PrunerResult | Lease | None] = {}
        self.has_another_try = False
        self.closing_checks = 0
        self.left: list[int] | Exception = AssertionError("no dry run is needed")
        self.images: list[dict[str, Any]] | Exception = []
        self.handed_over: list[Any] = []

    def path(self, what: str, task_id: str = "hard_prune") -> Any:
        return artifact_path(self.folder.as_uri(), dag_id="dag", run_id="run", task_id=task_id, what=what)

    def write(self, path: Any, numbers: list[int], time: str) -> Any:
        with candidate_writer(path, {"time": time}) as writer:
            for number in numbers:
                writer.add(LineKind.BLOB, name(number))
        return path

    def dry_run(self, *numbers: int) -> None:
        path = self.write(self.path("candidates", "dry_run"), list(numbers), "2026-01-01T12:00:00+00:00")
        said = Summary(blobs=len(numbers), rounded_bytes=0)
        self.results["dry_run"] = PrunerResult(mode="check", said=said, exit_status=0, artifact=str(path))

    def delete(self, blobs: int = 3, **changes: Any) -> None:
        fields: dict[str, Any] = {"said": Summary(blobs=blobs, rounded_bytes=0), "counted_blobs": blobs}
        fields |= {"exit_status": 0, "list_complete": True}
        fields["artifact"] = str(self.path("deleted-*"))
        self.results["hard_prune"] = PrunerResult(mode="delete", **(fields | changes))

    def part(self, part: str, *numbers: int, time: str = "2026-01-01T12:05:00+00:00", finished: bool = True) -> Any:
        path = self.write(self.path(f"deleted-{part}"), list(numbers), time)
        if not finished:
            (path.parent / f"hard_prune-deleted-{part}.json").unlink()
        return path

    def list_candidates(self, run: Any, *, hands_over: bool) -> Any:
        assert not hands_over, "this task's XCom is its own"
        self.closing_checks += 1
        if isinstance(self.left, Exception):
            raise self.left
        path = self.write(self.path("candidates", "reconcile"), self.left, "2026-01-01T13:00:00+00:00")
        return SimpleNamespace(artifact=str(path))

    def list_images(self) -> list[dict[str, Any]]:
        if isinstance(self.images, Exception):
            raise self.images
        return self.images

    def reconcile(self, monkeypatch: pytest.MonkeyPatch) -> Reconciliation | None:
        task = Reconcile(task_id="reconcile", cluster=ClusterSettings())
        monkeypatch.setattr(
            Reconcile, "list_candidates", lambda _task, run, **options: self.list_candidates(run, **options)
        )
        run: Any = SimpleNamespace(
            task_states=lambda: self.states,
            has_another_try=self.has_another_try,
            result=lambda task_id, kind: self.results.get(task_id),
            cluster=SimpleNamespace(images=self.list_images, image_streams=list),
            hand_over=self.handed_over.append,
        )
        found = task.work(run)
        assert found is None or isinstance(found, Reconciliation)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.dry_run(1, 2, 3)
    made.delete()
    return made


def test_by_the_lists_of_all_who_followed_the_delete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.part("1", 1, 2)
    world.part("2", 2, 3)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.candidates, found.deleted, found.not_deleted, found.unlisted) == (Basis.LIST, 3, 3, 0, 0)
    assert found.deleted_artifact == str(world.path("deleted-*"))
    assert world.closing_checks == 0


def test_what_was_not_deleted_and_what_was_not_listed_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the alarm: something was deleted that no dry run had shown."""
    world.part("1", 1, 9)
    world.delete(2, exit_status=1)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.deleted, found.not_deleted, found.not_deleted_names) == (1, 2, (name(2), name(3)))
    assert (found.unlisted, found.unlisted_names, found.stopped) == (1, (name(9),), True)
    assert f"1 blob deleted that the dry run had not listed: {name(9)}" in capsys.readouterr().out


def test_a_delete_that_deleted_nothing_left_no_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.delete(0)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.deleted, found.not_deleted) == (Basis.LIST, 0, 3)


@pytest.mark.parametrize("parts", [{}, {"1": (1,)}])
@pytest.mark.parametrize("delete", [{"blobs": 3}, {"blobs": 1, "earlier_blobs": 2}, {"blobs": 3, "counted_blobs": 0}])
def test_parts_that_are_out_of_sight_are_not_taken_for_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch, parts: dict[str, tuple[int, ...]], delete: dict[str, Any]
) -> None:
    """Guards the count: a triggerer wrote its part to a disk of its own."""
    world.delete(**delete)
    for part, numbers in parts.items():
        world.part(part, *numbers)
    world.left = []
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.deleted, found.not_deleted, found.unlisted) == (Basis.CLOSING_CHECK, 3, 0, 0)
    assert not found.list_complete


def test_a_part_from_a_machine_whose_clock_is_slow_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the parts: by their time alone they would be taken for those of an earlier delete."""
    world.part("1", 1, 2, time="2026-01-01T11:58:00+00:00")
    world.part("2", 2, 3)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.deleted, found.not_deleted, found.list_complete) == (Basis.LIST, 3, 0, True)
    assert world.closing_checks == 0


def test_parts_of_an_earlier_delete_and_unfinished_ones_do_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a false alarm when a run's tasks are cleared and done again."""
    world.part("0", 7, 8, time="2026-01-01T11:00:00+00:00")
    world.part("1", 1, finished=False)
    world.part("2", 1, 2, 3)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.deleted, found.unlisted) == (3, 0)


@pytest.mark.parametrize("why", ["incomplete", "damaged", "no result", "no list"])
def test_otherwise_by_a_dry_run_afterwards(world: World, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    part = world.part("1", 1, 9)
    world.left = [3, 5]
    if why == "incomplete":
        world.delete(list_complete=False)
    elif why == "damaged":
        part.write_bytes(part.read_bytes()[:-9])
    elif why == "no result":
        world.results["hard_prune"], world.states = None, {"hard_prune": "failed"}
    else:
        world.delete(artifact=None)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.candidates, found.deleted, found.not_deleted) == (Basis.CLOSING_CHECK, 3, 2, 1)
    assert found.not_deleted_names == (name(3),)
    assert found.unlisted == (1 if why == "incomplete" else 0), "as far as the delete's list goes"
    assert found.left_artifact == str(world.path("candidates", "reconcile"))
    assert not found.list_complete


@pytest.mark.parametrize("state", ["skipped", "upstream_failed"])
def test_without_a_delete_there_is_nothing_to_do(world: World, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    world.states = {"hard_prune": state}
    assert world.reconcile(monkeypatch) is None


@pytest.mark.parametrize("error", [AirflowException("the connection was lost"), AirflowFailException("exit status 1")])
def test_what_cannot_be_found_out_is_said_and_fails_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Guards the run's state: it is not for a report to decide it."""
    world.delete(list_complete=False)
    world.left = error
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.basis, found.why_unknown) == (Basis.NOTHING, str(error))


def test_a_dry_run_whose_connection_is_lost_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.delete(list_complete=False)
    world.left = AirflowException("the connection was lost")
    world.has_another_try = True
    with pytest.raises(AirflowException, match="the connection was lost"):
        world.reconcile(monkeypatch)


def test_without_a_list_of_candidates_it_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.results["dry_run"] = None
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert found.why_unknown == "there is no list of candidates"


def image(number: int, *layers: int, made: str = "2026-01-01T11:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {"name": name(number), "creationTimestamp": made},
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageLayers": [{"name": name(layer)} for layer in layers],
    }


HIGH = 1 << 250
"""Digests differ in their first bytes, as real ones do."""


def test_a_blob_that_was_not_listed_and_that_an_image_names_is_the_loudest_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.dry_run(1, 2)
    world.part("1", 1, 2, HIGH)
    world.images = [image(8, 1), image(9, HIGH)]
    with pytest.raises(ImageLostError) as error:
        world.reconcile(monkeypatch)
    for part in (name(HIGH), f"Image {name(9)}", "Images name 1:", "Push or import those images again"):
        assert part in str(error.value)
    (found,) = world.handed_over
    assert (found.unlisted, found.unlisted_in_use_count) == (1, 1)


def test_a_blob_that_was_not_listed_and_that_no_image_names_is_counted_and_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.dry_run(1, 2)
    world.part("1", 1, 2, HIGH)
    world.images = [image(8, 1), image(9, HIGH, made="2026-01-01T12:30:00Z")]
    world.results["arm_window"] = Lease(holder="d/r", token="w", armed_at=ARMED, expires_at=ARMED)
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.unlisted, found.unlisted_in_use_count) == (1, 0), "what was pushed since is there"
    assert "No Image that was there before the window names one" in str(found.alarm())


def test_images_that_cannot_be_listed_are_asked_for_again_and_then_done_without(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.dry_run(1, 2)
    world.part("1", 1, 2, HIGH)
    world.images = ClusterError("503", 503)
    world.has_another_try = True
    with pytest.raises(ClusterError):
        world.reconcile(monkeypatch)
    world.has_another_try = False
    found = world.reconcile(monkeypatch)
    assert found is not None
    assert (found.unlisted, found.unlisted_in_use_count) == (1, None)
