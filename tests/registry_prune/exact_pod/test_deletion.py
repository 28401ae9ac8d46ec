"""The delete by the list while something happens to it: nothing but its list goes, and its record tells the truth."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster import registry_state
from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.exact_delete.events import Begun, Event, Keeps, Outcome
from include.registry_prune.exact_pod import deletion
from include.registry_prune.exact_pod.deletion import EndedError, ListDelete, ListEnd, ListWork
from include.registry_prune.exact_pod.pod import ExactPodError
from include.registry_prune.exact_pod.record import DeleteRecord, Listener
from include.registry_prune.lists.candidate_list import ListWriter, packed_digests, whole_lines
from include.registry_prune.names import EXACT_DELETE_POD, NAMESPACE
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.exact_delete_pod import end_exact_pod, exact_pod, take_name
from include.registry_prune.pruner.processes import PrunerLivesError
from include.registry_prune.window.config_lease import read_lease
from include.registry_prune.window.lease import Holder, LeaseError
from include.registry_prune.window.opening import open_window
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed import SeedPlan
from tests.registry_prune.conftest import PROJECT, kubectl
from tests.registry_prune.window.test_opening import armed

IMAGE = "registry.test/registry-prune-small:1"


@pytest.fixture(params=["pvc"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    settings = SandboxSettings.quick(replicas=1, storage=request.param, real_registry=False)
    with Sandbox(tmp_path / "sandbox", settings) as running:
        running.seed(SeedPlan(images=5, orphans=40))
        running.create_objects(PROJECT / "deploy" / "exact-delete-rbac.yaml")
        yield running


@pytest.fixture
def holder(sandbox: Sandbox, cluster: Cluster) -> Holder:
    """Whose window is open."""
    lease = armed(cluster)
    open_window(cluster, holder=lease.owner, limit_seconds=120)
    return lease.owner


def orphans(sandbox: Sandbox) -> list[str]:
    return sorted(sandbox.stored_digests() - SeedInventory.read(sandbox.state).needed)


def work(holder: Holder, digests: list[str], *, seconds: float = 600.0, attempts: int = 3) -> ListWork:
    file = io.BytesIO()
    with ListWriter(file, {"run": "run"}) as writer:
        for digest in digests:
            writer.add(LineKind.BLOB, digest)
    return ListWork(
        holder=holder,
        image=IMAGE,
        seal=writer.seal,
        blocks=lambda: (file.getvalue(),),
        digests=lambda: packed_digests(whole_lines(io.BytesIO(file.getvalue()), writer.seal, "the list")),
        ends_by=datetime.now(UTC) + timedelta(seconds=seconds),
        attempts=attempts,
        lease_seconds=900,
        settle_seconds=60,
        patience_seconds=60,
    )


def delete(cluster: Cluster, order: ListWork) -> ListEnd:
    configuration = cluster.configuration
    return asyncio.run(ListDelete(cluster, lambda: AsyncCluster.like(configuration), order).carry_out())


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has something happen once, right before or after a step of the delete."""

    def order(moment: str, change: Callable[[], object]) -> None:
        where, step = moment.split(" ")
        real, left = getattr(deletion, step), [change]

        def changed(*arguments: Any, **named: Any) -> Any:
            if where == "before" and left:
                left.pop()()
            result = real(*arguments, **named)
            if where == "after" and left:
                left.pop()()
            return result

        monkeypatch.setattr(deletion, step, changed)

    return order


def test_the_lease_says_so_before_the_pod_is_made(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any
) -> None:
    seen = []
    once("before make_pod", lambda: seen.append(read_lease(cluster)))
    delete(cluster, work(holder, orphans(sandbox)))
    assert [lease.deletes_by_list for lease in seen if lease] == [True]


@pytest.mark.parametrize("how", ["evicted", "deleted"])
def test_a_pod_that_is_ended_by_others_is_made_anew_and_all_is_deleted(
    how: str, sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any
) -> None:
    listed, before = orphans(sandbox), sandbox.stored_digests()

    def end() -> None:
        found = exact_pod(cluster)
        assert found is not None
        if how == "evicted":
            sandbox.evict(EXACT_DELETE_POD)
        else:
            cluster.delete_pod(EXACT_DELETE_POD, uid=found.uid, grace_seconds=0)

    once("after hand_over", end)
    end_of_it = delete(cluster, work(holder, listed))
    assert end_of_it.end.complete, end_of_it.end.text()
    assert sandbox.stored_digests() == before - set(listed)
    assert end_of_it.record.tally(LineKind.BLOB).done == len(listed)
    assert {outcome for _, outcome in end_of_it.record.outcomes(LineKind.BLOB, lambda: listed)} == {Outcome.DONE}
    assert exact_pod(cluster) is None


def test_one_that_works_already_is_followed(sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any) -> None:
    """As after a worker that died: the second try finds the pod of the first, and makes no other."""
    listed = orphans(sandbox)

    class WorkerDiedError(Exception):
        pass

    def die() -> None:
        raise WorkerDiedError

    once("after hand_over", die)
    with pytest.raises(WorkerDiedError):
        delete(cluster, work(holder, listed))
    found = exact_pod(cluster)
    assert found is not None
    made = []
    once("after make_pod", lambda: made.append(1))
    end = delete(cluster, work(holder, listed))
    assert (end.end.complete, made) == (True, [])
    assert orphans(sandbox) == []


def test_nothing_is_handed_over_once_somebody_closes_the_window(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any
) -> None:
    """Between the look at the lease and the pod somebody has closed: the name is taken, or the lease tells it."""
    before = sandbox.stored_digests()
    once("before make_pod", lambda: take_name(cluster, window=holder.token))
    with pytest.raises(ExactPodError, match="never more than one"):
        delete(cluster, work(holder, orphans(sandbox)))
    assert sandbox.stored_digests() == before


def test_a_window_that_is_lost_before_the_list_is_handed_over_loses_nothing(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any
) -> None:
    before = sandbox.stored_digests()
    once("after wait_until_running", lambda: sandbox.configure_registry(readOnly=False))
    with pytest.raises((EndedError, LeaseError, NotSettledError, ExactPodError)):
        delete(cluster, work(holder, orphans(sandbox)))
    assert sandbox.stored_digests() == before


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen once the pod says that it has begun."""

    def order(change: Callable[[], object]) -> None:
        take = Listener.take

        def heard(self: Listener, event: Event) -> None:
            take(self, event)
            if isinstance(event, Begun):
                change()

        monkeypatch.setattr(Listener, "take", heard)

    return order


@pytest.mark.parametrize("sandbox", ["s3"], indirect=True)
def test_the_windows_time_ends_it_between_two_batches_and_nothing_is_wrong(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, at_work: Any
) -> None:
    listed = orphans(sandbox)
    order = work(holder, listed)
    sandbox.object_storage.faults.latency = 1.0
    # Once it works, however long its start has taken.
    at_work(lambda: object.__setattr__(order, "ends_by", datetime.now(UTC)))
    end = delete(cluster, order)
    assert (end.sliced, end.lost) == (True, None), end.end.text()
    gone = set(listed) - sandbox.stored_digests()
    done = {subject for subject, outcome in end.record.outcomes(LineKind.BLOB, lambda: listed) if outcome == "done"}
    assert done <= gone <= set(listed)


@pytest.mark.parametrize("sandbox", ["s3"], indirect=True)
def test_a_window_that_is_torn_in_mid_delete_ends_the_pod_at_once(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, at_work: Any
) -> None:
    listed, before = orphans(sandbox), sandbox.stored_digests()
    sandbox.object_storage.faults.latency = 2.0
    at_work(lambda: sandbox.configure_registry(readOnly=False))
    end = delete(cluster, work(holder, listed))
    assert end.lost is not None
    assert "somebody set spec.readOnly to false" in end.lost
    assert exact_pod(cluster) is None
    assert before - sandbox.stored_digests() <= set(listed)


def make_image(admin: client.ApiClient, layer: str) -> None:
    image = {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": f"sha256:{'c' * 64}"},
        "dockerImageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "dockerImageLayers": [{"name": layer, "size": 1, "mediaType": "x"}],
        "dockerImageMetadata": {"Id": layer},
    }
    client.CustomObjectsApi(admin).create_cluster_custom_object("image.openshift.io", "v1", "images", image)


def test_an_image_that_names_a_blob_of_the_list_before_it_begins_ends_it(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, admin: client.ApiClient, once: Any
) -> None:
    before, listed = sandbox.stored_digests(), orphans(sandbox)
    make_image(admin, listed[0])
    with pytest.raises(EndedError, match=f"Nothing was deleted: Image .* names {listed[0]}"):
        delete(cluster, work(holder, listed))
    assert sandbox.stored_digests() == before


@pytest.mark.parametrize("sandbox", ["s3"], indirect=True)
def test_where_nothing_is_kept_an_image_that_comes_meanwhile_ends_it_and_is_told(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, admin: client.ApiClient, at_work: Any
) -> None:
    listed = orphans(sandbox)
    sandbox.object_storage.faults.latency = 2.0
    at_work(lambda: make_image(admin, listed[-1]))
    end = delete(cluster, work(holder, listed))
    assert end.record.begun is not None
    assert end.record.begun.keeps is Keeps.NOTHING
    assert end.tripped is not None
    assert end.tripped.blob == listed[-1]
    assert end.lost is not None


@pytest.mark.parametrize("sandbox", ["s3"], indirect=True)
def test_on_a_node_that_does_not_answer_it_is_given_up_and_no_other_is_begun(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, at_work: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Guards that somebody is told while the registry is read-only: the pod itself works on, for all that is known."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(end_exact_pod, "__kwdefaults__", {"limit_seconds": 2.0})
    sandbox.object_storage.faults.latency = 2.0
    lost = []

    def lose_node() -> None:
        found = kubectl(
            sandbox.kubeconfig, "get", "pod", EXACT_DELETE_POD, "-n", NAMESPACE, "-o", "jsonpath={.spec.nodeName}"
        )
        lost.append(found)
        sandbox.lose_node(found)

    at_work(lose_node)
    with caplog.at_level("INFO"), pytest.raises(PrunerLivesError, match="look at the pod's node"):
        delete(cluster, work(holder, orphans(sandbox)))
    assert f"The node of pod {EXACT_DELETE_POD} does not answer" in caplog.text
    sandbox.return_node(lost[0])


def test_what_a_try_before_has_kept_counts_when_its_pod_was_not_seen_gone(
    sandbox: Sandbox, cluster: Cluster, holder: Holder, once: Any
) -> None:
    """As with a node that is lost right after the work: the next try finds nothing any more, and knows why."""
    listed = orphans(sandbox)
    kept: list[DeleteRecord] = []

    class NotGoneError(Exception):
        pass

    def not_gone() -> None:
        raise NotGoneError

    once("before clear_away", not_gone)
    with pytest.raises(NotGoneError):
        delete(cluster, replace(work(holder, listed), keep=kept.append))
    there = exact_pod(cluster)
    assert there is not None
    cluster.delete_pod(EXACT_DELETE_POD, uid=there.uid, grace_seconds=0)
    end = delete(cluster, replace(work(holder, listed), earlier=kept[-1]))
    assert end.record.tally(LineKind.BLOB).done == len(listed)
    assert end.record.tally(LineKind.BLOB).missing == 0
