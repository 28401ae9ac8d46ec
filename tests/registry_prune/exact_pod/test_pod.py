"""The pod of the exact delete in a cluster: made, given its list, followed, ended; in a folder and in a bucket."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.exact_delete.events import Keeps
from include.registry_prune.exact_pod import hand_over as handing
from include.registry_prune.exact_pod.hand_over import hand_over
from include.registry_prune.exact_pod.manifest import exact_delete_pod
from include.registry_prune.exact_pod.pod import ExactPodError, Follower, PodEnd, create, wait_until_running
from include.registry_prune.lists.candidate_list import ListWriter, Seal
from include.registry_prune.names import EXACT_DELETE_POD
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.exact_delete_pod import end_exact_pod, exact_pod, release_name, take_name
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.guard import guard
from include.registry_prune.window.guard_round import Found
from include.registry_prune.window.in_the_way import in_the_way
from include.registry_prune.window.lease import ANNOTATION, Holder, Lease
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import PROJECT

LIMITS = ClosingLimits(settle_seconds=120, stop_seconds=5, reopen_anyway_seconds=600)
WINDOW = Holder(run="registry_prune/run", token="token-1")


@pytest.fixture(params=["pvc"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    settings = SandboxSettings.quick(replicas=1, storage=request.param, real_registry=False)
    with Sandbox(tmp_path / "sandbox", settings) as running:
        running.seed(SeedPlan(images=5, orphans=40))
        running.configure_registry(readOnly=True)
        running.wait_until_settled()
        running.create_objects(PROJECT / "deploy" / "exact-delete-rbac.yaml")
        yield running


def orphans(sandbox: Sandbox) -> list[str]:
    return sorted(sandbox.stored_digests() - SeedInventory.read(sandbox.state).needed)


def packed(digests: list[str]) -> tuple[Seal, bytes]:
    file = io.BytesIO()
    with ListWriter(file, {"run": "run"}) as writer:
        for digest in digests:
            writer.add(LineKind.BLOB, digest)
    return writer.seal, file.getvalue()


def make(cluster: Cluster, seal: Seal | None, **changes: Any) -> str:
    deployment = cluster.deployment()
    assert deployment is not None
    given = {
        "image": "registry.test/registry-prune-small:1",
        "purpose": "delete",
        "window": WINDOW.token,
        "kept_as": "run-1",
        "seal": seal,
        "deadline_seconds": 300.0,
        "list_seconds": 120.0,
    }
    return create(cluster, exact_delete_pod(deployment, **(given | changes)))


def run(cluster: Cluster, digests: list[str], **changes: Any) -> tuple[PodEnd, Follower]:
    seal, content = packed(digests)
    uid = make(cluster, seal, **changes)
    wait_until_running(cluster, uid, limit_seconds=60)
    hand_over(cluster, uid, lambda: [content])
    follower = Follower(cluster, uid, lambda event: None)
    end = follower.follow(limit_seconds=120)
    assert end is not None
    there = exact_pod(cluster)
    assert there is not None
    end_exact_pod(cluster, there)
    return end, follower


@pytest.mark.parametrize("sandbox", ["pvc", "s3"], indirect=True)
def test_the_list_is_deleted_and_nothing_else(sandbox: Sandbox, cluster: Cluster) -> None:
    listed = orphans(sandbox)
    before = sandbox.stored_digests()
    end, follower = run(cluster, listed)
    assert end.complete, end.text()
    assert end.ended is not None
    assert (end.ended.blobs.done, end.ended.blobs.listed) == (len(listed), len(listed))
    assert sandbox.stored_digests() == before - set(listed)
    assert follower.begun is not None
    assert follower.begun.keeps is (Keeps.RENAMED if "file system" in follower.begun.storage else Keeps.NOTHING)
    assert exact_pod(cluster) is None
    sandbox.configure_registry(readOnly=False)
    sandbox.wait_until_settled()
    report = sandbox.verify()
    assert (report.orphans_left, report.problems) == (0, ())


def test_an_undo_in_a_pod_of_the_same_name_gives_it_back(sandbox: Sandbox, cluster: Cluster) -> None:
    before, listed = sandbox.stored_digests(), orphans(sandbox)
    run(cluster, listed)
    end, _ = run(cluster, listed, purpose="undo")
    assert end.complete, end.text()
    assert sandbox.stored_digests() == before


def test_there_is_never_more_than_one(sandbox: Sandbox, cluster: Cluster) -> None:
    make(cluster, packed([])[0])
    with pytest.raises(ExactPodError, match="never more than one"):
        make(cluster, packed([])[0], window="another")


def test_a_list_that_is_not_the_one_of_its_seal_is_not_taken(sandbox: Sandbox, cluster: Cluster) -> None:
    listed = orphans(sandbox)
    before = sandbox.stored_digests()
    uid = make(cluster, packed(listed[:3])[0])
    wait_until_running(cluster, uid, limit_seconds=60)
    with pytest.raises(ExactPodError, match="did not take its list"):
        hand_over(cluster, uid, lambda: [packed(listed)[1]])
    assert sandbox.stored_digests() == before


def test_a_pod_of_a_template_that_takes_pushes_deletes_nothing(sandbox: Sandbox, cluster: Cluster) -> None:
    sandbox.configure_registry(readOnly=False)
    sandbox.wait_until_settled()
    uid = make(cluster, packed(orphans(sandbox))[0])
    end = Follower(cluster, uid, lambda event: None).follow(limit_seconds=60)
    assert end is not None
    assert (end.exit_status, end.complete) == (2, False)
    assert "did not serve read-only" in end.text()


def test_a_pod_that_finds_no_room_is_said_and_nothing_is_deleted(sandbox: Sandbox, cluster: Cluster) -> None:
    def cordon(parts: Any) -> None:
        for node in parts.store.list("nodes"):
            name = node["metadata"]["name"]
            parts.store.modify("nodes", name, None, lambda obj: obj["spec"].update(unschedulable=True))

    sandbox.call(cordon)
    uid = make(cluster, packed([])[0])
    with pytest.raises(ExactPodError, match=r"does not run after .* Nothing was deleted"):
        wait_until_running(cluster, uid, limit_seconds=1)


@pytest.mark.parametrize("how", ["evicted", "deleted"])
def test_a_pod_that_is_ended_by_others_is_not_taken_for_done(how: str, sandbox: Sandbox, cluster: Cluster) -> None:
    uid = make(cluster, packed(orphans(sandbox))[0])
    wait_until_running(cluster, uid, limit_seconds=60)
    if how == "evicted":
        sandbox.evict(EXACT_DELETE_POD)
    else:
        cluster.delete_pod(EXACT_DELETE_POD, uid=uid, grace_seconds=1)
    end = Follower(cluster, uid, lambda event: None).follow(limit_seconds=60)
    assert end is not None
    assert not end.complete
    assert ("Evicted" if how == "evicted" else "gone") in end.text()


def test_whoever_takes_the_name_ends_the_delete_and_no_late_one_begins(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = make(cluster, packed(orphans(sandbox))[0])
    wait_until_running(cluster, uid, limit_seconds=60)
    take_name(cluster, window=WINDOW.token)
    take_name(cluster, window=WINDOW.token)
    held = exact_pod(cluster)
    assert held is not None
    assert (held.purpose, held.uid != uid, held.phase) == ("placeholder", True, "Pending")
    with pytest.raises(ExactPodError, match="holds the name"):
        make(cluster, packed([])[0])
    monkeypatch.setattr(handing, "HAND_OVER_PATIENCE_SECONDS", 0.0)
    with pytest.raises(ClusterError):
        hand_over(cluster, held.uid, lambda: [packed(orphans(sandbox))[1]])
    release_name(cluster)
    assert exact_pod(cluster) is None


def test_a_name_that_is_held_for_another_window_was_left_behind(sandbox: Sandbox, cluster: Cluster) -> None:
    take_name(cluster, window="an earlier one")
    make(cluster, packed([])[0])
    found = exact_pod(cluster)
    assert found is not None
    assert found.purpose == "delete"


def test_an_undo_is_not_ended_by_who_takes_the_name(sandbox: Sandbox, cluster: Cluster) -> None:
    uid = make(cluster, packed([])[0], purpose="undo")
    take_name(cluster, window=WINDOW.token)
    release_name(cluster)
    found = exact_pod(cluster)
    assert found is not None
    assert found.uid == uid


def test_it_is_in_the_way_of_other_pruners_and_not_of_its_own_window(sandbox: Sandbox, cluster: Cluster) -> None:
    make(cluster, packed([])[0])
    assert any(EXACT_DELETE_POD in each for each in in_the_way(cluster))
    assert in_the_way(cluster, own=WINDOW) == []


@pytest.fixture
def open_window(sandbox: Sandbox) -> Callable[[], Lease]:
    def write() -> Lease:
        now = datetime.now(UTC)
        lease = Lease(
            holder=WINDOW.run,
            token=WINDOW.token,
            armed_at=now,
            opened_at=now,
            expires_at=now + timedelta(hours=1),
        ).deleting_by_list(now)
        sandbox.call(
            lambda parts: parts.store.modify(
                "configs.imageregistry.operator.openshift.io",
                "cluster",
                None,
                lambda obj: obj["metadata"].setdefault("annotations", {}).update({ANNOTATION: lease.to_annotation()}),
            )
        )
        return lease

    return write


def test_closing_the_window_ends_the_delete_first_and_leaves_no_pod(
    sandbox: Sandbox, cluster: Cluster, open_window: Callable[[], Lease]
) -> None:
    open_window()
    before = sandbox.stored_digests()
    uid = make(cluster, packed(orphans(sandbox))[0])
    wait_until_running(cluster, uid, limit_seconds=60)
    settled = close_window(cluster, holder=WINDOW, limits=replace(LIMITS, revokes_role=False))
    assert settled is not None
    assert exact_pod(cluster) is None
    assert not cluster.registry_state().read_only
    assert sandbox.stored_digests() == before


def test_the_guard_ends_a_delete_that_was_left_beside_pushes(sandbox: Sandbox, cluster: Cluster) -> None:
    make(cluster, packed(orphans(sandbox))[0])
    sandbox.configure_registry(readOnly=False)
    sandbox.wait_until_settled()
    seen = guard(cluster, limits=LIMITS, run_is_over=lambda holder: False)
    assert seen.found is Found.DELETE_ENDED
    assert EXACT_DELETE_POD in seen.message
    assert exact_pod(cluster) is None


def test_an_errand_that_has_ended_is_in_nobodys_way_and_a_delete_that_has_is(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    """A process of a delete may live on a lost node, whatever its pod is called; an errand deletes nothing."""
    uid = make(cluster, None, purpose="look", window="another run")
    assert Follower(cluster, uid, lambda event: None).follow(limit_seconds=60) is not None
    assert in_the_way(cluster) == []
    uid = make(cluster, packed([])[0], window="another", kept_as="")
    wait_until_running(cluster, uid, limit_seconds=60)
    sandbox.evict(EXACT_DELETE_POD)
    assert Follower(cluster, uid, lambda event: None).follow(limit_seconds=60) is not None
    assert any(EXACT_DELETE_POD in each for each in in_the_way(cluster))
    with pytest.raises(ExactPodError, match="never more than one"):
        make(cluster, packed([])[0])
