"""The storage is scanned once: the survey's list stands for the dry run, held against the Images of the window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.lists.artifacts import candidate_digests
from include.registry_prune.tasks.in_window import ArmWindow
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def pruning_run(caplog: Any, folder: Path, **settings: Any) -> Ended:
    conf = {"min_blobs": 10, "base_prune": False, "integrity_check": False}
    return run_dag(caplog, conf=conf, artifacts=folder.as_uri(), **settings)


def modes_of_dry_runs(sandbox: Sandbox) -> list[bool]:
    """For each ``-prune=check``, whether the registry was read-only at its start."""
    starts = [line for line in sandbox.pruner_journal() if line["event"] == "start" and line["mode"] == "check"]
    return [line["read_only"] for line in starts]


def assert_pruned(sandbox: Sandbox, run: Ended) -> None:
    assert run.state == "success", run.errors
    verified = sandbox.verify()
    assert verified.ok, verified.problems
    assert verified.orphans_left == 0
    reconciled = run.report["reconciliation"]
    assert (reconciled["candidates"], reconciled["deleted"], reconciled["unlisted"]) == (ORPHANS, ORPHANS, 0)


def test_the_storage_is_scanned_once_and_while_pushes_are_taken(seeded: Sandbox, caplog: Any, tmp_path: Path) -> None:
    run = pruning_run(caplog, tmp_path)
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False]
    assert run.results["dry_run"]["artifact"] == run.results["survey"]["artifact"]


def test_the_cautious_have_it_scanned_again_while_nobody_can_write(
    seeded: Sandbox, caplog: Any, tmp_path: Path
) -> None:
    run = pruning_run(caplog, tmp_path, dry_run_in_window="always")
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False, True]


Meanwhile = Callable[[Callable[[client.CustomObjectsApi], object]], None]


@pytest.fixture
def meanwhile(admin: client.ApiClient, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something done between the survey's gate and the window."""
    arm = ArmWindow.work

    def order(change: Callable[[client.CustomObjectsApi], object]) -> None:
        def work(self: ArmWindow, run: Any) -> Any:
            change(client.CustomObjectsApi(admin))
            return arm(self, run)

        monkeypatch.setattr(ArmWindow, "work", work)

    return order


IMAGES = ("image.openshift.io", "v1", "images")


def image_naming(blob: str, created: datetime) -> dict[str, Any]:
    return {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": "sha256:" + "ab" * 32, "creationTimestamp": created.isoformat()},
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageLayers": [{"name": blob, "size": 1}],
        "dockerImageMetadata": {"Id": "sha256:" + "cd" * 32},
    }


def a_candidate(folder: Path) -> str:
    (listed,) = folder.rglob("survey-candidates.txt.gz")
    return f"sha256:{next(iter(candidate_digests(str(listed)))).hex()}"


def test_what_was_pushed_since_is_taken_out_of_the_list_and_stays(
    seeded: Sandbox, caplog: Any, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    """Guards the young Images: the candidate that one names is needed again, and stops nothing."""
    named: list[str] = []

    def push(api: client.CustomObjectsApi) -> None:
        named.append(a_candidate(tmp_path))
        image = image_naming(named[0], datetime.now(UTC))
        seeded.call(lambda inside: inside.store.create("images.image.openshift.io", image))

    meanwhile(push)
    run = pruning_run(caplog, tmp_path)
    assert run.state == "success", run.errors
    assert modes_of_dry_runs(seeded) == [False]
    assert (run.report["orphaned_blobs"], run.report["deleted_blobs"]) == (ORPHANS - 1, ORPHANS - 1)
    assert run.report["reconciliation"]["candidates"] == ORPHANS - 1
    assert named[0] in seeded.stored_digests()
    assert run.results["dry_run"]["revived_blobs"] == 1


def test_a_candidate_that_an_older_image_names_stops_the_run(
    seeded: Sandbox, caplog: Any, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    """Guards the difference: here the pruner was wrong, and what else is it wrong about?"""

    def appear(api: client.CustomObjectsApi) -> None:
        image = image_naming(a_candidate(tmp_path), datetime.now(UTC) - timedelta(days=1))
        seeded.call(lambda inside: inside.store.create("images.image.openshift.io", image))

    meanwhile(appear)
    run = pruning_run(caplog, tmp_path)
    assert run.state == "failed"
    assert "although an Image names it" in run.errors["blob_threshold"]
    assert seeded.verify().orphans_left == ORPHANS - 1


def test_images_that_are_gone_since_have_the_storage_scanned_again(
    seeded: Sandbox, caplog: Any, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    """Guards the number of Images: what only they named is in no list that was audited."""

    image = image_naming("sha256:" + "ef" * 32, datetime.now(UTC) - timedelta(days=1))
    seeded.call(lambda inside: inside.store.create("images.image.openshift.io", image))
    meanwhile(lambda api: api.delete_cluster_custom_object(*IMAGES, image["metadata"]["name"]))
    run = pruning_run(caplog, tmp_path)
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False, True]


def test_a_survey_that_is_too_old_has_the_storage_scanned_again(seeded: Sandbox, caplog: Any, tmp_path: Path) -> None:
    run = pruning_run(caplog, tmp_path, survey_lasts="1ms")
    assert_pruned(seeded, run)
    assert modes_of_dry_runs(seeded) == [False, True]


def test_a_survey_whose_list_is_gone_fails_the_run_and_nothing_is_deleted(
    seeded: Sandbox, caplog: Any, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    def lose(api: client.CustomObjectsApi) -> None:
        for each in tmp_path.rglob("survey-candidates*"):
            each.unlink()

    meanwhile(lose)
    run = pruning_run(caplog, tmp_path)
    assert run.state == "failed"
    assert "The survey's list cannot be read, so nothing is deleted" in run.errors["dry_run"]
    verified = seeded.verify()
    assert (verified.ok, verified.orphans_left) == (True, ORPHANS)
