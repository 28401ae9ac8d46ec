"""A delete that works on what an Image names, against the sandbox: it is ended at once, and the evidence names it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.deletion import image_watch
from include.registry_prune.deletion.handover import Delete
from include.registry_prune.deletion.image_watch import evidence
from include.registry_prune.deletion.tripwire import Trip
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.verdict.references import audit_streams
from sandbox.cluster import Sandbox
from sandbox.server.faults import FaultRule
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.deletion.detached_pod import wait_for
from tests.registry_prune.deletion.test_followed_delete import (
    ACCOUNT,
    Kept,
    assert_all_deleted_by,
    begin,
    follow,
    follower,
    meanwhile,
    sandbox,
    slow,
    window,
)

__all__ = ["sandbox", "window"]

IMAGES_OF_API = ("image.openshift.io", "v1", "images")


def test_a_blob_that_an_image_names_ends_the_delete_and_is_named_with_image_and_tags(
    window: Sandbox, cluster: Cluster
) -> None:
    """An Image has lost its media type between the audit and the pruner's own list: the pruner takes its config."""
    forgotten = window.forget_media_types(8)
    slow(window, 0.2)
    end = follow(cluster, begin(cluster))
    assert end.tripped is not None
    assert set(end.tripped.images) <= set(forgotten)
    assert end.tripped.hits[0].role == "config"
    named = end.tripped.hits[0].image
    tags = audit_streams((), window.list_objects("imagestreams.image.openshift.io"), images={named.name}).tags
    assert named.tags == tags.get(named.name, ())
    assert end.lost == Trip(end.tripped.blob, end.tripped.images).text()
    assert (end.interrupted, end.result.exit_status) == (False, 143)
    verified = window.verify()
    assert verified.orphans_left > 0, "it was ended in the middle of its work"
    assert window.pruners_alive() == 0


def test_an_image_that_comes_to_name_a_deleted_blob_ends_the_delete(
    window: Sandbox, cluster: Cluster, admin: client.ApiClient
) -> None:
    """Guards the way round: Images that are put back from a backup while the delete works."""
    slow(window, 0.2)
    kept = Kept()
    attempt = begin(cluster)

    def put_back() -> None:
        wait_for(lambda: len(kept.blobs) > 0)
        image = window.list_objects("images.image.openshift.io")[0]
        image["metadata"] = {"name": f"sha256:{7:064x}"}
        image["dockerImageLayers"] = [{"name": min(kept.blobs), "size": 1, "mediaType": "x"}]
        client.CustomObjectsApi(admin).create_cluster_custom_object(*IMAGES_OF_API, image)

    thread = meanwhile(window, put_back, 3)
    end = follow(cluster, attempt, kept)
    thread.join()
    assert end.tripped is not None
    assert end.tripped.images == (f"sha256:{7:064x}",)
    assert end.tripped.hits[0].role == "layer"
    assert window.verify().orphans_left > 0


def test_a_delete_that_trips_in_the_task_is_not_handed_on_as_one_that_was_interrupted(
    window: Sandbox, cluster: Cluster
) -> None:
    """Guards the evidence: the triggerer would find a pruner that was ended, and begin it again."""
    window.forget_media_types(8)
    slow(window, 0.05)
    first = follower(cluster, begin(cluster))
    tripped_at_once = first._tripwire
    tripped_at_once.blob = lambda blob: Trip(blob, ("sha256:x",))  # type: ignore[method-assign]
    end = asyncio.run(first.follow(2.5))
    assert end is not None
    assert end.tripped is not None
    assert not end.interrupted


def test_a_follower_that_takes_over_knows_the_images_too(window: Sandbox, cluster: Cluster) -> None:
    slow(window, 0.2)
    first = follower(cluster, begin(cluster))
    assert asyncio.run(first.follow(1.0)) is None
    second = follower(cluster, Delete.from_json(first.handed_on().to_json()))
    right = second._tripwire.blob
    found: list[Any] = []
    second._tripwire.blob = lambda blob: found.append(second._tripwire.images) or right(blob)  # type: ignore[method-assign, func-returns-value]
    end = asyncio.run(second.follow())
    assert end is not None
    assert (end.tripped, end.lost, end.result.complete) == (None, None, True)
    assert found[-1] == len(window.list_objects("images.image.openshift.io"))
    assert_all_deleted_by(window, attempts=1)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_delete_goes_on_for_a_while_without_the_images_and_is_ended_then(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(image_watch, "IMAGES_UNKNOWN_SECONDS", 1.0)
    slow(window, 0.2)
    attempt = begin(cluster)
    window.api_faults.add(FaultRule(user=ACCOUNT, verb=verb, resource="images", status=503))
    end = follow(cluster, attempt)
    assert end.tripped is None
    assert "has not told which Images there are" in str(end.lost)
    assert (end.interrupted, end.result.exit_status) == (False, 143)
    assert end.result.seconds > image_watch.IMAGES_UNKNOWN_SECONDS


def test_an_api_that_tells_of_images_again_in_time_ends_nothing(window: Sandbox, cluster: Cluster) -> None:
    slow(window)
    attempt = begin(cluster)
    for status in (503, 410, 500):
        window.api_faults.add(FaultRule(user=ACCOUNT, resource="images", status=status, remaining=2))
    window.api_faults.add(
        FaultRule(user=ACCOUNT, verb="watch", resource="images", remaining=1, cut_watch_after_events=0)
    )
    end = follow(cluster, attempt)
    assert (end.lost, end.result.complete) == (None, True)
    assert_all_deleted_by(window, attempts=1)


def test_images_that_are_gone_from_the_api_end_the_delete(window: Sandbox, cluster: Cluster) -> None:
    """As when etcd is restored from an early backup: what is not there names nothing."""
    slow(window, 0.2)
    attempt = begin(cluster)
    meanwhile(window, window.restore_empty_etcd, 3)
    end = follow(cluster, attempt)
    assert "Was etcd restored from a backup?" in str(end.lost)
    assert window.verify().orphans_left >= ORPHANS // 2


def test_evidence_names_tags_and_does_without_what_the_cluster_does_not_tell(window: Sandbox, cluster: Cluster) -> None:
    stream = next(each for each in window.list_objects("imagestreams.image.openshift.io") if each["status"]["tags"])
    tag = stream["status"]["tags"][0]
    name = tag["items"][0]["image"]

    def connect() -> Any:
        return AsyncCluster.like(cluster.configuration)

    (hit,) = asyncio.run(evidence(connect, Trip(name, (name,)))).hits
    assert f"{stream['metadata']['namespace']}/{stream['metadata']['name']}:{tag['tag']}" in hit.image.tags
    window.api_faults.add(FaultRule(user=ACCOUNT, resource="imagestreams", status=403))
    known = asyncio.run(evidence(connect, Trip(name, (name,))))
    assert [hit.role for hit in known.hits] == ["manifest"]
    window.api_faults.add(FaultRule(user=ACCOUNT, resource="images", status=403))
    assert asyncio.run(evidence(connect, Trip(name, (name,)))).hits == ()


def test_what_was_deleted_before_the_trip_is_in_the_list(window: Sandbox, cluster: Cluster) -> None:
    window.forget_media_types(8)
    slow(window, 0.05)
    kept = Kept()
    end = follow(cluster, begin(cluster), kept)
    assert end.tripped is not None
    assert end.tripped.blob in {subject for kind, subject in kept.lines if kind is LineKind.BLOB}
