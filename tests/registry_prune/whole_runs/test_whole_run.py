"""The whole DAG against the sandbox: every kind of run leaves a whole registry that takes pushes."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.lists.artifacts import read_candidates
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.progress import DeleteProgress
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.gates import BlobThreshold
from include.registry_prune.tasks.hard_prune import HardPrune
from include.registry_prune.verdict.decision import Verdict
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.alerts.receivers import Told
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.deletion.detached_pod import wait_for, wait_until_deleted
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
WINDOW_TASKS = ("arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune", "restore_read_write")
ENOUGH = {"min_blobs": 10}
UNCHECKED = {**ENOUGH, "base_prune": False, "integrity_check": False}
"""Of runs that are asked about the hard prune alone."""
TOO_MUCH = {"min_blobs": 1_000_000, "min_size": "1TiB"}


@pytest.fixture(autouse=True)
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def generations(admin: client.ApiClient) -> tuple[int, int]:
    """Generation of the Config's and of the Deployment's spec: any patch of either raises them."""
    config = client.CustomObjectsApi(admin).get_cluster_custom_object(
        "imageregistry.operator.openshift.io", "v1", "configs", "cluster"
    )
    deployment = client.AppsV1Api(admin).read_namespaced_deployment("image-registry", "openshift-image-registry")
    return config["metadata"]["generation"], deployment.metadata.generation


def assert_whole(sandbox: Sandbox, orphans_left: int) -> None:
    verified = sandbox.verify()
    assert verified.ok, verified.problems
    assert verified.orphans_left == orphans_left


def assert_window_never_opened(run: Ended) -> None:
    assert {run.tasks[task] for task in WINDOW_TASKS} == {"skipped"}
    assert run.report["read_only_seconds"] == 0


def test_a_full_run_deletes_every_orphan_and_no_image(seeded: Sandbox, caplog: Any, tmp_path: Path) -> None:
    run = run_dag(caplog, conf={**ENOUGH, "base_prune": False}, artifacts=tmp_path.as_uri())
    assert run.state == "success", run.errors
    assert set(run.tasks.values()) == {"success"}
    assert_whole(seeded, orphans_left=0)
    report = run.report
    assert (report["outcome"], report["orphaned_blobs"], report["deleted_blobs"]) == ("pruned", ORPHANS, ORPHANS)
    assert report["broken_before"] == report["broken_after"], "tags of deleted Images were broken before"
    assert report["read_only_seconds"] > 0
    assert report["freed_bytes"] > 0
    assert (report["left_blobs"], report["slices_left"]) == (0, 0)
    reconciled = report["reconciliation"]
    assert reconciled["basis"] == "the delete's own list"
    assert (reconciled["deleted"], reconciled["not_deleted"], reconciled["unlisted"]) == (ORPHANS, 0, 0)
    pruners = seeded.pruner_journal()
    deletes = [line for line in pruners if line["event"] == "start" and line["mode"] == "delete"]
    assert [line["read_only"] for line in deletes] == [True]
    assert told_progress(tmp_path) == ORPHANS, "the page shows how far the delete is"


def test_the_base_prune_runs_with_the_parameters_and_its_job_is_removed(seeded: Sandbox, caplog: Any) -> None:
    """Either threshold alone opens the gate: here the size, elsewhere the number of blobs."""
    run = run_dag(caplog, conf={**TOO_MUCH, "min_size": "1B", "keep_tag_revisions": 1, "keep_younger_than": "0s"})
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    assert_whole(seeded, orphans_left=0)
    assert run.results["base_prune"]["carried_out"]
    assert run.results["base_prune"]["figures"]["images"], run.results["base_prune"]


def test_a_run_below_the_thresholds_never_touches_read_only(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    before = generations(admin)
    run = run_dag(caplog, conf={**TOO_MUCH, "base_prune": False})
    assert run.state == "success", run.errors
    assert_window_never_opened(run)
    assert generations(admin) == before
    assert (run.report["outcome"], run.report["deleted_blobs"]) == ("not worth it", 0)
    assert any(f"{ORPHANS} orphaned blobs < 1,000,000" in reason for reason in run.report["reasons"])
    assert_whole(seeded, orphans_left=ORPHANS)


def test_force_prunes_below_the_thresholds(seeded: Sandbox, caplog: Any) -> None:
    run = run_dag(caplog, conf={**TOO_MUCH, "hard_prune": "force", "base_prune": False})
    assert run.report["outcome"] == "pruned"
    assert_whole(seeded, orphans_left=0)


def test_hard_prune_never_leaves_the_orphans(seeded: Sandbox, admin: client.ApiClient, caplog: Any) -> None:
    before = generations(admin)
    run = run_dag(caplog, conf={**ENOUGH, "hard_prune": "never", "base_prune": False})
    assert run.state == "success", run.errors
    assert_window_never_opened(run)
    assert generations(admin) == before
    assert_whole(seeded, orphans_left=ORPHANS)


def test_dry_run_only_says_what_it_would_delete_and_deletes_nothing(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    before = generations(admin)
    images = len(
        client.CustomObjectsApi(admin).list_cluster_custom_object("image.openshift.io", "v1", "images")["items"]
    )
    run = run_dag(caplog, conf={**ENOUGH, "dry_run_only": True, "keep_tag_revisions": 1, "keep_younger_than": "0s"})
    assert run.state == "success", run.errors
    assert_window_never_opened(run)
    assert generations(admin) == before
    assert (run.report["outcome"], run.report["orphaned_blobs"]) == ("dry run", ORPHANS)
    assert run.results["base_prune"]["dry_run"]
    after = client.CustomObjectsApi(admin).list_cluster_custom_object("image.openshift.io", "v1", "images")["items"]
    assert len(after) == images
    assert_whole(seeded, orphans_left=ORPHANS)


def test_without_a_survey_the_documented_order_is_kept(seeded: Sandbox, caplog: Any) -> None:
    run = run_dag(caplog, conf={**ENOUGH, "survey": False, "base_prune": False})
    assert run.state == "success", run.errors
    assert run.report["outcome"] == "pruned"
    checks = [line for line in seeded.pruner_journal() if line["event"] == "start" and line["mode"] == "check"]
    assert [line["read_only"] for line in checks] == [True]
    assert_whole(seeded, orphans_left=0)


def test_without_a_survey_a_dry_run_below_the_thresholds_opens_the_window_and_closes_it(
    seeded: Sandbox, caplog: Any
) -> None:
    run = run_dag(caplog, conf={**TOO_MUCH, "survey": False, "base_prune": False})
    assert run.state == "success", run.errors
    assert (run.tasks["blob_threshold"], run.tasks["hard_prune"]) == ("skipped", "skipped")
    assert run.tasks["restore_read_write"] == "success"
    assert run.report["read_only_seconds"] > 0
    assert_whole(seeded, orphans_left=ORPHANS)


def test_a_delete_that_stops_midway_fails_the_run_the_registry_takes_pushes_again_and_the_next_run_goes_on(
    seeded: Sandbox, caplog: Any
) -> None:
    seeded.order_pruner(PrunerFaults(fail_delete_after_blobs=20))
    run = run_dag(caplog, conf=UNCHECKED)
    assert run.state == "failed"
    assert run.tasks["hard_prune"] == "failed"
    assert run.tasks["restore_read_write"] == "success"
    assert run.tasks["verify_restored"] == "success"
    assert "stopped midway with exit status 1" in run.errors["hard_prune"]
    assert "operation not permitted" in run.errors["hard_prune"]
    assert (run.report["outcome"], run.report["deleted_blobs"]) == ("failed", 21)
    reconciled = run.report["reconciliation"]
    assert (reconciled["deleted"], reconciled["not_deleted"], reconciled["unlisted"]) == (21, ORPHANS - 21, 0)
    assert reconciled["stopped"], "the last one that it named is there still"
    assert_whole(seeded, orphans_left=ORPHANS - 20)

    seeded.order_pruner(PrunerFaults())
    following = run_dag(caplog, conf=UNCHECKED)
    assert following.state == "success", following.errors
    assert_whole(seeded, orphans_left=0)


def test_where_the_deletes_list_is_incomplete_a_dry_run_afterwards_shows_what_is_left(
    seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = HardPrune._listed
    incomplete = {"list_complete": False}
    monkeypatch.setattr(HardPrune, "_listed", lambda *given: listed(*given).model_copy(update=incomplete))
    seeded.order_pruner(PrunerFaults(modes=("delete",), fail_delete_after_blobs=20))
    run = run_dag(caplog, conf={**UNCHECKED, "survey": False})
    assert (run.state, run.tasks["reconcile"]) == ("failed", "success")
    reconciled = run.report["reconciliation"]
    assert reconciled["basis"] == "a dry run afterwards"
    assert (reconciled["deleted"], reconciled["not_deleted"]) == (20, ORPHANS - 20)
    assert len(set(read_candidates(reconciled["left_artifact"], kind=LineKind.BLOB))) == ORPHANS - 20


def test_a_pruner_that_is_killed_is_started_again_so_often_and_no_more(seeded: Sandbox, caplog: Any) -> None:
    seeded.order_pruner(PrunerFaults(modes=("delete",), kill_after_blobs=10))
    run = run_dag(caplog, conf={**UNCHECKED, "survey": False}, delete_attempts=3)
    assert run.state == "failed"
    assert "as often as the setting delete_attempts (3) allows" in run.errors["hard_prune"]
    assert run.tasks["restore_read_write"] == "success"
    assert_whole(seeded, orphans_left=ORPHANS - 30)
    assert run.results["hard_prune"]["attempts"] == 3
    assert (run.results["hard_prune"]["earlier_blobs"], run.results["hard_prune"]["counted_blobs"]) == (20, 10)
    assert seeded.most_pruners_at_once() == 1


def test_a_role_that_was_there_before_stays(seeded: Sandbox, admin: client.ApiClient, caplog: Any) -> None:
    """The survey needs the role already: a run that ends at its gate has come by both of the role's tasks."""
    binding = {
        "metadata": {"name": "system:image-pruner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:image-pruner"},
        "subjects": [{"kind": "ServiceAccount", "name": "registry", "namespace": "openshift-image-registry"}],
    }
    rbac = client.RbacAuthorizationV1Api(admin)
    rbac.create_cluster_role_binding(binding)
    run = run_dag(caplog, conf={**TOO_MUCH, "base_prune": False})
    assert run.state == "success", run.errors
    assert [run.tasks[task] for task in ("survey", "revoke_image_pruner")] == ["success", "success"]
    assert run.results["grant_image_pruner"]["ours"] is False
    assert rbac.read_cluster_role_binding("system:image-pruner").subjects[0].name == "registry"


def without_media_type(admin: client.ApiClient) -> str:
    """Take the media type away from an Image; returns its name."""
    api = client.CustomObjectsApi(admin)
    images = api.list_cluster_custom_object("image.openshift.io", "v1", "images")["items"]
    image = next(each for each in images if not each.get("dockerImageManifests"))
    image["dockerImageManifestMediaType"] = ""
    api.replace_cluster_custom_object("image.openshift.io", "v1", "images", image["metadata"]["name"], image)
    return str(image["metadata"]["name"])


def test_an_image_with_an_empty_media_type_stops_the_run_before_the_delete(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any, told: Told
) -> None:
    image = without_media_type(admin)
    run = run_dag(caplog, conf={**ENOUGH, "base_prune": False}, **told.settings)
    assert run.state == "failed"
    assert "stopped: Hard prune of default, run manual__" in told.text
    assert told.alerts() == ["stopped, firing"]
    assert run.tasks["survey_gate"] == "failed"
    assert run.tasks["arm_window"] == "upstream_failed"
    assert f"oc patch image {image} --type=merge" in run.errors["survey_gate"]
    verified = seeded.verify()
    assert verified.ok, verified.problems


def test_an_image_whose_config_is_a_candidate_stops_the_run_in_the_window(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    """Guards the audit in the window, by itself: no survey, and the ceiling is passed."""
    image = without_media_type(admin)
    passed = {"survey": False, "pass_ceilings": ["untyped_images"]}
    run = run_dag(caplog, conf={**ENOUGH, **passed, "base_prune": False})
    assert run.state == "failed"
    assert run.tasks["blob_threshold"] == "failed"
    assert run.tasks["hard_prune"] == "upstream_failed"
    assert f"is the config of Image {image}" in run.errors["blob_threshold"]
    verified = seeded.verify()
    assert verified.ok, verified.problems


def test_another_cluster_behind_the_connection_stops_the_run_until_a_person_lets_it_pass(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    """Guards the history: what a run leaves, a later one reads."""
    look = {"dry_run_only": True, "base_prune": False}
    assert run_dag(caplog, conf=look).state == "success"
    another = {"spec": {"clusterID": "00000000-0000-4000-8000-000000000001"}}
    client.CustomObjectsApi(admin).patch_cluster_custom_object(
        "config.openshift.io", "v1", "clusterversions", "version", another
    )
    stopped = run_dag(caplog, conf=look)
    assert stopped.state == "failed"
    assert "is another cluster than that of the runs before" in stopped.errors["survey_gate"]
    run = run_dag(caplog, conf={**UNCHECKED, "pass_ceilings": ["other_cluster"]})
    assert run.state == "success", run.errors
    assert run.report["passed_ceilings"] == ["other_cluster"]
    assert run.report["passed_by"]
    assert run.report["estimated_delete_seconds"] > 0
    assert_whole(seeded, orphans_left=0)


def test_force_does_not_prune_a_cluster_without_images(seeded: Sandbox, admin: client.ApiClient, caplog: Any) -> None:
    api = client.CustomObjectsApi(admin)
    for image in api.list_cluster_custom_object("image.openshift.io", "v1", "images")["items"]:
        api.delete_cluster_custom_object("image.openshift.io", "v1", "images", image["metadata"]["name"])
    run = run_dag(caplog, conf={"hard_prune": "force", "base_prune": False})
    assert run.state == "failed"
    assert run.tasks["survey_gate"] == "failed"
    assert "has no Image objects at all" in run.errors["survey_gate"]
    assert not [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]


def test_a_delete_does_not_start_if_somebody_let_pushes_in_right_before_it(
    seeded: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the look before the delete."""
    verdict = BlobThreshold.verdict

    def verdict_and_interference(gate: BlobThreshold, run: Run) -> Verdict:
        given = verdict(gate, run)
        cluster.patch_config({"spec": {"readOnly": False}})
        return given

    monkeypatch.setattr(BlobThreshold, "verdict", verdict_and_interference)
    run = run_dag(caplog, conf=UNCHECKED)
    assert run.state == "failed"
    assert "somebody set spec.readOnly to false, so this run deletes nothing" in run.errors["hard_prune"]
    assert not [line for line in seeded.pruner_journal() if line.get("mode") == "delete"]
    assert_whole(seeded, orphans_left=ORPHANS)


def test_a_delete_that_goes_on_without_a_worker_ends_as_any_other(seeded: Sandbox, caplog: Any, tmp_path: Path) -> None:
    run = run_dag(caplog, conf=UNCHECKED, artifacts=tmp_path.as_uri(), defer_after="0s")
    assert run.state == "success", run.errors
    assert "running trigger in line" in run.log
    assert f"progress: {ORPHANS} of {ORPHANS} blobs deleted (100 %)" in run.log
    deletion = run.results["hard_prune"]
    assert (deletion["counted_blobs"], deletion["list_complete"]) == (ORPHANS, True)
    listed = {line.split()[1] for part in deleted_parts(tmp_path) for line in part if line.startswith("blob ")}
    assert len(listed) == ORPHANS
    assert run.report["deleted_blobs"] == ORPHANS
    assert told_progress(tmp_path) == ORPHANS
    assert_whole(seeded, orphans_left=0)


def told_progress(folder: Path) -> int | None:
    """Of how many blobs it was known before the delete that they would be deleted, as the page was told."""
    (told,) = folder.rglob("hard_prune-progress.json")
    return DeleteProgress.model_validate_json(told.read_bytes()).expected_blobs


def deleted_parts(folder: Path) -> list[list[str]]:
    """The lines of each part of the list of what was deleted."""
    return [gzip.decompress(part.read_bytes()).decode().splitlines() for part in folder.rglob("*deleted*.gz")]


def test_a_pod_evicted_while_nobody_but_the_triggerer_follows_costs_nothing_but_time(
    seeded: Sandbox, caplog: Any, tmp_path: Path
) -> None:
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.05))

    def evict() -> None:
        wait_until_deleted(seeded, ORPHANS // 2)
        seeded.evict(next(line["pod"] for line in seeded.pruner_journal() if line.get("mode") == "delete"))

    thread = threading.Thread(target=evict, daemon=True)
    thread.start()
    run = run_dag(
        caplog,
        conf={**UNCHECKED, "survey": False},
        artifacts=tmp_path.as_uri(),
        defer_after="0s",
    )
    thread.join()
    assert run.state == "success", run.errors
    assert (run.report["deleted_blobs"], run.report["freed_bytes"]) == (ORPHANS, run.report["orphaned_bytes"])
    assert run.results["hard_prune"]["attempts"] == 2
    assert seeded.most_pruners_at_once() == 1
    assert seeded.verify().orphans_left == 0


def test_a_person_who_sets_read_only_back_while_the_delete_is_deferred_ends_it(seeded: Sandbox, caplog: Any) -> None:
    seeded.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=0.2))

    def set_back() -> None:
        wait_until_deleted(seeded, 1)
        wait_for(lambda: seeded.pruners_alive() == 1)
        seeded.configure_registry(readOnly=False)

    thread = threading.Thread(target=set_back, daemon=True)
    thread.start()
    run = run_dag(caplog, conf={**UNCHECKED, "survey": False}, defer_after="0s")
    thread.join()
    assert run.tasks["hard_prune"] == "failed"
    assert "somebody set spec.readOnly to false while the delete was at work" in run.errors["hard_prune"]
    assert run.tasks["restore_read_write"] == "success"
    assert 0 < seeded.verify().orphans_left < ORPHANS
