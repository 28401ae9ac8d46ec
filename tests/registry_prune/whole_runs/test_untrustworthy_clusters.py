"""Clusters in which a dry run shows garbage that is none: nothing is deleted, and the message says what is wrong."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowSkipException
from kubernetes import client

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.lists.artifacts import artifact_path, candidate_writer
from include.registry_prune.lists.digests import DigestSet
from include.registry_prune.pruner.checks import choose_pod, run_dry_run
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import RunParameters
from include.registry_prune.tasks import gates as sensors
from include.registry_prune.tasks.gates import HELD, BlobThreshold, Gate, SurveyGate
from include.registry_prune.verdict.decision import Ceiling, Mode, Verdict
from include.registry_prune.verdict.history import History, PastRun
from include.registry_prune.verdict.survey_basis import BASIS, SurveyBasis
from include.registry_prune.window.lease import Holder
from sandbox.assembly.composition import Cluster as AssembledCluster
from sandbox.cluster import Sandbox
from sandbox.registry.api import IMAGES
from sandbox.registry.objects import api_time
from sandbox.registry.seed.seed import SeedPlan
from sandbox.server.faults import FaultRule
from tests.registry_prune.conftest import ORPHANS, start_sandbox

ENOUGH = RunParameters(min_blobs=10)
FORCE = RunParameters(hard_prune=Mode.FORCE)
GATES = {"survey": SurveyGate, "dry_run": BlobThreshold}


@dataclass
class GateRun:
    """A run as its gates see it: one dry run, against a cluster."""

    cluster: Cluster
    dry_run: PrunerResult
    parameters: RunParameters = ENOUGH
    surveyed_at: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))
    asked_by: str = "ada"
    earlier: History = field(default_factory=History)
    handed_over: list[Verdict] = field(default_factory=list)

    window: Holder = field(default_factory=lambda: Holder(run="dag/run", token="run-1"))

    def result(self, task_id: str, kind: type[Any], key: str = "return_value") -> Any:
        if key == BASIS:
            return SurveyBasis(began_at=self.surveyed_at, older_images=0, registry="")
        return None if key == HELD else self.dry_run

    def of_window(self, task_id: str, kind: type[PrunerResult]) -> PrunerResult:
        return self.dry_run

    def history(self) -> History:
        return self.earlier

    def lease_keeper(self) -> AbstractContextManager[None]:
        return nullcontext()

    def hand_over(self, verdict: Verdict) -> None:
        self.handed_over.append(verdict)


@dataclass
class Bench:
    """Does dry runs and asks the gates."""

    cluster: Cluster
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def dry_run(self) -> PrunerResult:
        """A dry run, its candidates in an artifact."""
        grant_role(self.cluster)
        path = artifact_path(self.folder.as_uri(), dag_id="dag", run_id="run", task_id="survey")
        with candidate_writer(path, {}) as candidates:
            return run_dry_run(
                self.cluster,
                choose_pod(self.cluster.registry_state()),
                holder="dag/run",
                limit_seconds=300,
                candidates=candidates,
                artifact=str(path),
            )

    def ask(self, gate_kind: type[Gate], result: PrunerResult, **changes: Any) -> GateRun:
        """Ask a gate; what it raises goes on."""
        run = GateRun(self.cluster, result, **changes)
        self.monkeypatch.setattr(sensors, "Run", lambda context, settings: run)
        self.monkeypatch.setattr(sensors, "history_of", lambda of: of.history())
        gate_kind(task_id="gate", cluster=ClusterSettings()).poke({})
        return run

    def stopped(self, gate_kind: type[Gate], result: PrunerResult, **changes: Any) -> str:
        """What the administrator reads when the gate stops the run."""
        with pytest.raises(AirflowException) as stop:
            self.ask(gate_kind, result, **changes)
        return str(stop.value)


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(cluster, tmp_path / "artifacts", monkeypatch)


def delete_object(resource: str, metadata: Mapping[str, Any], inside: AssembledCluster) -> None:
    inside.store.delete(resource, metadata["name"], metadata.get("namespace"))


def make_anew(image: Mapping[str, Any], created: str, inside: AssembledCluster) -> None:
    """An object's time of creation does not change."""
    delete_object(IMAGES, image["metadata"], inside)
    kept = {key: image["metadata"][key] for key in ("name", "annotations")}
    inside.store.create(IMAGES, {**image, "metadata": {**kept, "creationTimestamp": created}})


def delete_images(sandbox: Sandbox, chosen: Callable[[int], bool] = lambda place: True) -> None:
    """As if etcd had been restored from before they were pushed."""
    for resource in ("images.image.openshift.io", "imagestreams.image.openshift.io"):
        for place, each in enumerate(sandbox.list_objects(resource)):
            if chosen(place):
                sandbox.call(partial(delete_object, resource, each["metadata"]))


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES.keys())
def test_an_image_without_a_media_type_among_300_good_ones(
    sandbox: Sandbox, bench: Bench, admin: client.ApiClient, gate: type[Gate]
) -> None:
    """Guards the audit: the pruner lists that image's config, says so with exit status 0, and means it."""
    sandbox.seed(SeedPlan(images=220, orphans=ORPHANS, images_without_media_type=1, size="1MiB"))
    assert len(sandbox.list_objects("images.image.openshift.io")) > 300
    result = bench.dry_run()
    message = bench.stopped(gate, result, parameters=ENOUGH.model_copy(update={"pass_ceilings": ("untyped_images",)}))
    command = re.search(r"oc patch image (sha256:\w{64}) --type=merge -p '([^']*)'", message)
    assert command
    image, patch = command.groups()
    assert "1 candidate of the dry run would be deleted although an Image names it: sha256:" in message
    assert f"is the config of Image {image} (tags " in message
    assert ":latest" in message
    # What the message tells to do is what helps.
    client.CustomObjectsApi(admin).patch_cluster_custom_object(
        "image.openshift.io", "v1", "images", image, json.loads(patch)
    )
    again = bench.dry_run()
    assert again.counted_blobs == result.counted_blobs - 1
    bench.ask(gate, again)


@pytest.mark.parametrize("parameters", [ENOUGH, FORCE], ids=["auto", "force"])
def test_etcd_that_was_restored_empty(seeded: Sandbox, bench: Bench, parameters: RunParameters) -> None:
    delete_images(seeded)
    message = bench.stopped(SurveyGate, bench.dry_run(), parameters=parameters)
    assert "the cluster has no Image objects at all" in message
    assert "is its etcd whole? If etcd was restored from a backup" in message


def test_etcd_that_was_restored_from_an_old_backup(seeded: Sandbox, bench: Bench) -> None:
    delete_images(seeded, lambda place: place > 1)
    message = bench.stopped(SurveyGate, bench.dry_run(), parameters=FORCE)
    assert "are Images missing (etcd restored from a backup?)" in message
    assert "pass_ceilings: orphan_share" in message


def test_images_that_were_lost_and_pushed_to_since(seeded: Sandbox, bench: Bench) -> None:
    """Guards the look at the oldest Image: what was pushed since makes the share of orphans look ordinary."""
    lost_at = datetime.now(UTC).replace(microsecond=0)
    run = PastRun(run_id="yesterday", ended_at=lost_at - timedelta(days=1), orphaned_blobs=ORPHANS)
    earlier = History(runs=(run,))
    bench.ask(SurveyGate, bench.dry_run(), earlier=earlier)
    delete_images(seeded)
    seeded.seed(SeedPlan(images=40, orphans=0, seed=2))
    for image in seeded.list_objects(IMAGES):
        seeded.call(partial(make_anew, image, api_time(lost_at)))
    message = bench.stopped(SurveyGate, bench.dry_run(), earlier=earlier, parameters=FORCE)
    assert "is younger than the last run, which ended at " in message
    assert "pass_ceilings: renewed_images" in message


def test_the_storage_of_another_cluster(seeded: Sandbox, bench: Bench, tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "other") as other:
        other.seed(SeedPlan(images=150, orphans=0, seed=2))
        shutil.copytree(other.state.storage, seeded.state.storage, dirs_exist_ok=True)
    message = bench.stopped(SurveyGate, bench.dry_run(), parameters=FORCE)
    assert "does another cluster use this storage too?" in message
    assert "repositories would be removed because their image streams are gone, more than 25: " in message


def test_image_streams_that_are_not_found_during_an_outage(seeded: Sandbox, bench: Bench) -> None:
    """Guards the audit of the repositories: here they are few, and their number alone would not stop the run."""
    seeded.api_faults.add(FaultRule(verb="get", resource="imagestreams", status=404))
    result = bench.dry_run()
    seeded.clear_faults()
    assert 0 < result.counted_repositories <= 25
    everything = RunParameters(hard_prune=Mode.FORCE, pass_ceilings=tuple(Ceiling))
    message = bench.stopped(SurveyGate, result, parameters=everything)
    assert "would be removed although the image stream is there: " in message
    assert "was it (openshift-apiserver, etcd) in trouble during the dry run" in message


def test_storage_that_is_not_mounted(seeded: Sandbox, bench: Bench) -> None:
    shutil.rmtree(seeded.state.storage)
    seeded.state.storage.mkdir()
    message = bench.stopped(SurveyGate, bench.dry_run(), parameters=FORCE)
    assert "the pruner found no repositories in the registry's storage: is it mounted" in message


def test_links_of_multi_architecture_images_are_no_garbage(sandbox: Sandbox, bench: Bench) -> None:
    sandbox.seed(SeedPlan(images=12, orphans=0))
    result = bench.dry_run()
    assert result.counted_manifest_links > 0
    with pytest.raises(AirflowSkipException, match=r"no orphaned blobs \(\d+ manifest links listed"):
        bench.ask(SurveyGate, result, parameters=FORCE)


def test_an_image_that_was_pushed_during_the_survey_stops_nothing(seeded: Sandbox, bench: Bench) -> None:
    """While pushes are taken, a layer is an orphan until its image is complete. In the window there are no pushes."""
    result = bench.dry_run()
    blob = next(iter(candidates_of(result)))
    pushed = {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": "sha256:" + "ab" * 32},
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageLayers": [{"name": f"sha256:{blob.hex()}", "size": 1}],
        "dockerImageMetadata": {"Id": "sha256:" + "cd" * 32},
    }
    seeded.call(lambda inside: inside.store.create("images.image.openshift.io", pushed))
    bench.ask(SurveyGate, result, surveyed_at=datetime.now(UTC))
    assert "an Image names it" in bench.stopped(BlobThreshold, result)


@pytest.mark.parametrize("damage", ["gone", "elsewhere", "cut", "empty", "shorter"])
def test_a_list_of_candidates_that_is_damaged(seeded: Sandbox, bench: Bench, damage: str) -> None:
    """Guards the last look at the list: what is not in it is not held against the Images."""
    result = bench.dry_run()
    assert result.artifact is not None
    (file,) = bench.folder.rglob("*.gz")
    if damage == "gone":
        file.unlink()
    elif damage == "elsewhere":
        shutil.rmtree(bench.folder)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        file.write_bytes(gzip.compress(b"".join(lines[:-1])))
    message = bench.stopped(BlobThreshold, result, parameters=FORCE)
    assert re.search("nothing is deleted|not every candidate could be held against the Images", message)
    if damage == "elsewhere":
        assert "set artifacts to a place that all workers and the triggerer share" in message


def candidates_of(result: PrunerResult) -> DigestSet:
    """The candidates that the gates read."""
    from include.registry_prune.lists.artifacts import candidate_digests

    assert result.artifact is not None
    return candidate_digests(result.artifact)
