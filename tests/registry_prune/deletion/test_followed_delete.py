"""A delete that is followed: whatever happens to connections, followers and pods, one pruner at a time, to the end."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster import registry_state
from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import READ_ONLY_ENVIRONMENT, RegistryState
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.deletion import follower as delete_follower
from include.registry_prune.deletion import window_watch
from include.registry_prune.deletion.attempts import NotStartedError, find_or_begin
from include.registry_prune.deletion.follower import DeleteFollower
from include.registry_prune.deletion.handover import Delete, DeleteEnd, FollowSettings
from include.registry_prune.names import NAMESPACE
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import change_own_lease, read_lease
from include.registry_prune.window.in_the_way import InTheWayError
from include.registry_prune.window.lease import DeleteAttempt, Holder, LeaseError, attempt_name
from include.registry_prune.window.opening import arm, begin_attempt, open_window
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import Effect, ExecFault
from sandbox.registry.faults import PrunerFaults
from sandbox.server.faults import FaultRule
from tests.registry_prune.conftest import ORPHANS
from tests.registry_prune.deletion.detached_pod import wait_for, wait_until_deleted

HOLDER = Holder(run="registry_prune/manual", token="first-1")
ACCOUNT = "system:serviceaccount:registry-prune:registry-prune"
LIMITS = ClosingLimits(settle_seconds=300, stop_seconds=1, reopen_anyway_seconds=3600)
SETTINGS = FollowSettings(follow_every=3, patience=60, silence=600, lease=900)


class Kept:
    """A list of what was deleted, in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[LineKind, str]] = []

    def add(self, kind: LineKind, subject: str) -> None:
        self.lines.append((kind, subject))

    def flush(self) -> bool:
        return True

    async def close(self) -> bool:
        return True

    @property
    def blobs(self) -> set[str]:
        return {subject for kind, subject in self.lines if kind is LineKind.BLOB}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Its pods are as real ones: who ends as an orphan stays there as a zombie."""
    with Sandbox(tmp_path / "sandbox", SandboxSettings.quick(replicas=2, zombies=True, real_registry=False)) as running:
        yield running


@pytest.fixture
def window(seeded: Sandbox, cluster: Cluster) -> Sandbox:
    """A sandbox with orphans whose window this run has opened."""
    arm(
        cluster,
        holder=HOLDER,
        run_url="",
        lasts=timedelta(hours=1),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=True,
        limits=LIMITS,
    )
    grant_role(cluster)
    open_window(cluster, holder=HOLDER, limit_seconds=300)
    return seeded


def begin(cluster: Cluster, end: DeleteEnd | None = None, attempts: int = 4) -> DeleteAttempt:
    return find_or_begin(
        cluster,
        holder=HOLDER,
        over=end.delete.attempt if end else None,
        earlier=end.delete.so_far() if end else None,
        attempts=attempts,
        log_bytes=1 << 20,
        settle_seconds=300,
    )


def delete_of(attempt: DeleteAttempt) -> Delete:
    ends_by = datetime.now(UTC) + timedelta(days=1)
    return Delete(holder=HOLDER, attempt=attempt, ends_by=ends_by, expected_blobs=ORPHANS, earlier=attempt.earlier)


def follower(
    cluster: Cluster, attempt: DeleteAttempt | Delete, kept: Kept | None = None, settings: FollowSettings = SETTINGS
) -> DeleteFollower:
    def connect() -> AbstractAsyncContextManager[AsyncCluster]:
        return AsyncCluster.like(cluster.configuration)

    delete = attempt if isinstance(attempt, Delete) else delete_of(attempt)
    return DeleteFollower(connect, delete, settings, kept or Kept())


def follow(cluster: Cluster, attempt: DeleteAttempt, kept: Kept | None = None, **settings: Any) -> DeleteEnd:
    changed = SETTINGS.model_copy(update=settings)
    end = asyncio.run(follower(cluster, attempt, kept, changed).follow())
    assert end is not None
    return end


def slow(sandbox: Sandbox, seconds_per_blob: float = 0.05) -> None:
    sandbox.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=seconds_per_blob))


def meanwhile(sandbox: Sandbox, action: Callable[[], object], deleted: int = ORPHANS // 2) -> threading.Thread:
    """Do something when so many orphans are gone."""

    def work() -> None:
        wait_until_deleted(sandbox, deleted)
        action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def ended_in_time_by(change: Callable[[], object], window: Sandbox, cluster: Cluster) -> DeleteEnd:
    """The end of a delete whose window somebody changes: it was ended long before it would have deleted the rest."""
    slow(window, 0.5)
    attempt = begin(cluster)
    alive_for: list[float] = []

    def change_and_look() -> None:
        changed = time.monotonic()
        change()
        wait_for(lambda: window.pruners_alive() == 0)
        alive_for.append(time.monotonic() - changed)

    thread = meanwhile(window, change_and_look, 3)
    end = follow(cluster, attempt)
    thread.join()
    assert end.lost is not None
    assert alive_for[0] < ORPHANS // 2 * 0.5
    assert window.verify().orphans_left >= ORPHANS // 2
    return end


def assert_all_deleted_by(sandbox: Sandbox, attempts: int) -> None:
    assert sandbox.verify().orphans_left == 0
    deletes = [line for line in sandbox.pruner_journal() if line["event"] == "start" and line["mode"] == "delete"]
    assert len(deletes) == attempts
    assert sandbox.most_pruners_at_once() == 1
    assert all(line["read_only"] for line in deletes)


def assert_progress_never_goes_back(text: str) -> None:
    counts = [int(each.replace(",", "")) for each in re.findall(r"progress: ([\d,]+) of", text)]
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert counts[-1] == ORPHANS


def test_a_delete_is_followed_to_its_end_with_progress_and_the_whole_list(
    window: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    caplog.set_level("INFO")
    slow(window)
    kept = Kept()
    end = follow(cluster, begin(cluster), kept)
    assert end.result.complete
    assert (end.interrupted, end.lost, end.result.list_complete) == (False, None, True)
    assert end.result.said is not None
    assert end.result.said.blobs == end.result.counted_blobs == len(kept.blobs) == ORPHANS
    assert_all_deleted_by(window, attempts=1)
    assert_progress_never_goes_back(caplog.text)
    assert "blobs/s, done in about" in caplog.text


def test_a_second_try_and_a_cleared_task_find_the_delete_and_follow_it(window: Sandbox, cluster: Cluster) -> None:
    """Guards the attempt in the lease: without it the second would be refused, or start another pruner."""
    slow(window)
    first = begin(cluster)
    assert begin(cluster) == first
    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(lambda _: follow(cluster, first), range(2)))
    assert begin(cluster) == first, "also when it has ended: its result is this run's"
    ends.append(follow(cluster, first))
    assert [end.result.complete for end in ends] == [True] * 3
    assert {end.result.said for end in ends} == {ends[0].result.said}
    assert_all_deleted_by(window, attempts=1)


def test_a_delete_is_found_while_another_registry_pod_is_not_ready(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that is not ready takes no pushes; a second try that stopped at it would have the delete ended."""
    slow(window)
    first = begin(cluster)
    whole = cluster.registry_state

    def not_ready() -> RegistryState:
        state = whole()
        pods = [pod.model_copy(update={"ready": pod.uid == first.pod_uid}) for pod in state.pods]
        return state.model_copy(update={"pods": tuple(pods), "available_replicas": 1})

    monkeypatch.setattr(cluster, "registry_state", not_ready)
    assert begin(cluster) == first

    def takes_pushes() -> RegistryState:
        state = whole()
        pods = [pod.model_copy(update={"read_only": pod.uid == first.pod_uid}) for pod in state.pods]
        return state.model_copy(update={"pods": tuple(pods)})

    monkeypatch.setattr(cluster, "registry_state", takes_pushes)
    with pytest.raises(NotSettledError, match="still read-write"):
        begin(cluster)


def test_two_tries_at_once_start_one_pruner(window: Sandbox, cluster: Cluster) -> None:
    """Guards the lease's concurrency and the folder in the pod, both together."""
    slow(window)
    barrier = threading.Barrier(4)

    def contend(_: int) -> DeleteAttempt:
        barrier.wait()
        return begin(cluster)

    with ThreadPoolExecutor(4) as threads:
        attempts = list(threads.map(contend, range(4)))
    assert len({attempt.name for attempt in attempts}) == len({attempt.pod for attempt in attempts}) == 1
    assert follow(cluster, attempts[0]).result.complete
    assert_all_deleted_by(window, attempts=1)


def test_of_two_who_chose_different_pods_the_second_is_sent_to_the_firsts(window: Sandbox, cluster: Cluster) -> None:
    """Guards the lease: what has begun in one pod does not begin in another."""
    first, second = cluster.registry_state().ready_pods()
    begun = begin_attempt(cluster, holder=HOLDER, pod=first)
    assert begin_attempt(cluster, holder=HOLDER, pod=second) == begun
    later = begin_attempt(cluster, holder=HOLDER, pod=second, previous=begun)
    assert (later.number, later.pod) == (2, second.name)
    assert begin_attempt(cluster, holder=HOLDER, pod=first, previous=begun) == later


def test_an_attempt_that_the_lease_names_and_nobody_started_is_started_by_the_next(
    window: Sandbox, cluster: Cluster
) -> None:
    """Whoever began it died between the lease and the pod."""
    begun = begin_attempt(cluster, holder=HOLDER, pod=cluster.registry_state().ready_pods()[0])
    assert begin(cluster) == begun
    assert follow(cluster, begun).result.complete
    assert_all_deleted_by(window, attempts=1)


def test_a_start_whose_answer_is_lost_is_repeated_and_starts_once(window: Sandbox, cluster: Cluster) -> None:
    window.order_exec(ExecFault("abort", at_exit=True, command="registry-prune starts"))
    window.order_exec(ExecFault("abort", command="registry-prune starts"))
    assert follow(cluster, begin(cluster)).result.complete
    assert window.exec_faults.listed() == []
    assert_all_deleted_by(window, attempts=1)


def test_a_look_that_is_cut_is_followed_by_the_next_and_nothing_is_lost(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is closed or breaks off. Whoever follows a second time finds a delete that has ended."""
    monkeypatch.setattr(delete_follower, "LONGEST_BACKOFF_SECONDS", 0.2)
    effects: tuple[Effect, ...] = ("close", "abort")
    slow(window)
    for after_bytes in (1, 700, 5000):
        for effect in effects:
            window.order_exec(ExecFault(effect, after_bytes=after_bytes, command="registry-prune looks"))
    attempt = begin(cluster)
    for effect in effects:
        window.order_exec(ExecFault(effect, at_exit=True, command="registry-prune looks"))
        kept = Kept()
        end = follow(cluster, attempt, kept)
        assert (end.result.complete, end.result.list_complete, len(kept.blobs)) == (True, True, ORPHANS)
        assert window.exec_faults.listed() == []
    assert_all_deleted_by(window, attempts=1)


def test_a_look_whose_connection_freezes_is_given_up_after_a_while(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.registry_prune.cluster.async_cluster.EXEC_SILENCE_SECONDS", 2.0)
    slow(window)
    window.order_exec(ExecFault("freeze", after_bytes=500, command="registry-prune looks"))
    end = follow(cluster, begin(cluster))
    assert end.result.complete
    assert_all_deleted_by(window, attempts=1)


def test_an_api_server_that_refuses_for_a_while_ends_neither_the_delete_nor_the_following(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Whatever the status: each is met six times, one status after the other."""
    monkeypatch.setattr(delete_follower, "LONGEST_BACKOFF_SECONDS", 0.2)
    slow(window, 0.1)
    attempt = begin(cluster)

    def refuse() -> None:
        for status in (401, 403, 429, 500, 503):
            window.api_faults.add(FaultRule(user=ACCOUNT, status=status, remaining=6))

    refuser = meanwhile(window, refuse, 5)
    end = follow(cluster, attempt, follow_every=1.0)
    refuser.join()
    assert end.result.complete
    assert "trying to follow it again" in caplog.text
    assert window.api_faults.listed() == []
    assert_all_deleted_by(window, attempts=1)


def test_an_api_server_that_is_killed_in_mid_delete_ends_neither_the_delete_nor_the_following(
    window: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """Guards the follower's patience: without it, the first look that finds nobody ends the following."""
    caplog.set_level("INFO")
    slow(window, 0.1)

    def kill_and_start_again() -> None:
        stored = len(window.stored_digests())
        window.stop_api_server()
        wait_for(lambda: len(window.stored_digests()) <= stored - ORPHANS // 3)
        window.start_api_server()

    killer = meanwhile(window, kill_and_start_again, ORPHANS // 6)
    kept = Kept()
    end = follow(cluster, begin(cluster), kept)
    killer.join()
    assert (end.interrupted, end.lost, end.result.complete, end.result.list_complete) == (False, None, True, True)
    assert end.result.said is not None
    assert end.result.said.blobs == end.result.counted_blobs == len(kept.blobs) == ORPHANS
    assert_all_deleted_by(window, attempts=1)
    assert_progress_never_goes_back(caplog.text)


def test_nothing_known_for_too_long_is_an_unknown_end_and_the_pruner_lives_on(
    window: Sandbox, cluster: Cluster
) -> None:
    slow(window, 0.3)
    attempt = begin(cluster)
    rule = window.api_faults.add(FaultRule(user=ACCOUNT, status=503, remaining=1_000_000))
    end = follow(cluster, attempt, patience=1.0)
    assert end.result.exit_status is None
    assert "the cluster has told nothing of it for" in str(end.result.problem())
    assert not end.interrupted, "it may live: no other is begun"
    wait_for(lambda: window.pruners_alive() == 1)
    window.api_faults.remove(rule)


def test_a_delete_on_a_node_that_does_not_answer_is_given_up_long_before_patience_ends(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards that somebody is told while the registry is read-only, and that no other delete is begun meanwhile."""
    monkeypatch.setattr(registry_state, "LOST_POD_SECONDS", 1.0)
    monkeypatch.setattr(delete_follower, "ENDED_PATIENCE_SECONDS", 2.0)
    slow(window, 0.5)
    attempt = begin(cluster)
    [node] = [pod["spec"]["nodeName"] for pod in window.registry_pods() if pod["metadata"]["name"] == attempt.pod]
    loser = meanwhile(window, lambda: window.lose_node(node), 2)
    end = follow(cluster, attempt, patience=3600)
    loser.join()
    assert f"the node of pod {attempt.pod} does not answer" in str(end.lost)
    assert (end.interrupted, end.result.exit_status, end.result.sliced) == (False, None, False)
    window.return_node(node)


def test_a_delete_whose_time_is_over_is_ended_and_is_a_slice(window: Sandbox, cluster: Cluster) -> None:
    """Guards the end of a window: what is left is the next run's, and nothing is wrong."""
    slow(window, 0.3)
    delete = delete_of(begin(cluster)).model_copy(update={"ends_by": datetime.now(UTC) + timedelta(seconds=4)})
    end = asyncio.run(follower(cluster, delete).follow())
    assert end is not None
    assert end.result.sliced
    assert (end.interrupted, end.lost, end.result.problem()) == (False, None, None)
    assert 0 < end.result.deleted_blobs < ORPHANS
    assert window.pruners_alive() == 0
    assert window.verify().orphans_left > 0


def test_a_delete_that_was_done_when_its_time_was_over_is_whole(window: Sandbox, cluster: Cluster) -> None:
    attempt = begin(cluster)
    wait_until_deleted(window, ORPHANS)
    wait_for(lambda: window.pruners_alive() == 0)
    late = delete_of(attempt).model_copy(update={"ends_by": datetime.now(UTC)})
    end = asyncio.run(follower(cluster, late).follow())
    assert end is not None
    assert end.result.complete
    assert not end.result.sliced


def interrupted_and_begun_again(window: Sandbox, cluster: Cluster, interrupt: Callable[[str], object]) -> DeleteEnd:
    slow(window)
    attempt = begin(cluster)
    thread = meanwhile(window, lambda: interrupt(attempt.pod))
    first_kept, second_kept = Kept(), Kept()
    first = follow(cluster, attempt, first_kept)
    thread.join()
    assert first.interrupted
    assert first.result.counted_blobs >= ORPHANS // 3
    second_attempt = begin(cluster, first)
    assert second_attempt.number == 2
    second = follow(cluster, second_attempt, second_kept)
    assert second.result.complete
    assert not second.interrupted
    assert_all_deleted_by(window, attempts=2)
    assert second.result.said is not None
    assert second.result.earlier_blobs + second.result.said.blobs == ORPHANS, "true to the last blob"
    assert ORPHANS - 5 <= len(first_kept.blobs | second_kept.blobs) <= ORPHANS, "the last lines may go with the pod"
    return second


def test_a_pod_that_is_evicted_in_mid_delete_is_noticed_in_seconds_and_the_delete_begun_again_in_another(
    window: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    caplog.set_level("INFO")
    end = interrupted_and_begun_again(window, cluster, window.evict)
    assert "has ended: evicted" in caplog.text
    assert not end.result.list_complete, "the last lines went with the pod"
    assert_progress_never_goes_back(caplog.text)
    assert f"and before that {end.result.earlier_blobs} blobs in 1 interrupted attempt" in caplog.text


def test_a_container_that_is_restarted_in_mid_delete_is_noticed_and_the_delete_begun_again(
    window: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    caplog.set_level("INFO")
    interrupted_and_begun_again(window, cluster, window.restart_container)
    assert "its container was restarted" in caplog.text


def test_a_pod_that_is_deleted_in_mid_delete_is_noticed_and_the_delete_begun_again(
    window: Sandbox, cluster: Cluster
) -> None:
    uid_of = {pod.name: pod.uid for pod in cluster.registry_state().pods}
    interrupted_and_begun_again(window, cluster, lambda pod: cluster.delete_pod(pod, uid=uid_of[pod]))


def test_an_interrupted_delete_is_begun_so_often_and_no_more(window: Sandbox, cluster: Cluster) -> None:
    window.order_pruner(PrunerFaults(modes=("delete",), kill_after_blobs=5))
    end = follow(cluster, begin(cluster))
    assert (end.interrupted, end.result.exit_status) == (True, 137)
    with pytest.raises(NotStartedError, match=r"delete_attempts \(1\) allows, the last time in pod image-registry"):
        begin(cluster, end, attempts=1)


def test_a_pruner_that_fails_is_not_begun_again(window: Sandbox, cluster: Cluster) -> None:
    window.order_pruner(PrunerFaults(modes=("delete",), fail_delete_after_blobs=5))
    end = follow(cluster, begin(cluster))
    assert (end.interrupted, end.result.exit_status) == (False, 1)
    assert "operation not permitted" in str(end.result.problem())


def test_no_attempt_is_begun_beside_a_pruner_that_nobody_knows_of(window: Sandbox, cluster: Cluster) -> None:
    """Guards the look for pruners in every pod."""
    slow(window, 0.3)
    begin(cluster)
    change_own_lease(cluster, HOLDER, lambda lease: lease.model_copy(update={"attempt": None}))
    wait_for(lambda: window.pruners_alive() == 1)
    with pytest.raises(InTheWayError, match="A pruner is at work already"):
        begin(cluster)


def test_somebody_who_sets_read_only_back_ends_the_delete_in_a_fraction_of_a_second(
    window: Sandbox, cluster: Cluster
) -> None:
    """Guards the watch over the window: without it the delete goes on beside pods that take pushes."""
    slow(window, 0.5)
    attempt = begin(cluster)
    alive_for: list[float] = []

    def set_back() -> None:
        window.configure_registry(readOnly=False)
        wait_for(lambda: window.pruners_alive() == 0)
        lines = window.pruner_journal()
        alive_for.append(lines[-1]["time"] - lines[0]["time"])

    thread = meanwhile(window, set_back, 3)
    end = follow(cluster, attempt)
    thread.join()
    assert end.lost is not None
    assert "somebody set spec.readOnly to false" in end.lost
    assert not end.interrupted
    assert end.result.exit_status == 143
    assert 3 <= end.result.counted_blobs <= ORPHANS // 2
    assert window.verify().orphans_left >= ORPHANS // 2


def test_one_edit_that_takes_lease_and_window_away_ends_the_delete_in_a_fraction_of_a_second(
    window: Sandbox, cluster: Cluster, admin: client.ApiClient
) -> None:
    """As ``oc replace`` does, and whatever applies a repository to the cluster."""
    custom = client.CustomObjectsApi(admin)
    configs = ("imageregistry.operator.openshift.io", "v1", "configs")

    def replace() -> None:
        config = custom.get_cluster_custom_object(*configs, "cluster")
        del config["metadata"]["annotations"]
        config["spec"]["readOnly"] = False
        custom.replace_cluster_custom_object(*configs, "cluster", config)

    end = ended_in_time_by(replace, window, cluster)
    assert (end.interrupted, end.result.exit_status) == (False, 143)


def test_somebody_who_takes_the_lease_away_ends_the_delete(window: Sandbox, cluster: Cluster) -> None:
    slow(window, 0.2)
    attempt = begin(cluster)
    meanwhile(window, lambda: cluster.patch_config({"metadata": {"annotations": {"registry-prune/lease": None}}}), 3)
    end = follow(cluster, attempt)
    assert end.lost is not None
    assert "somebody removed the lease" in end.lost
    assert window.pruners_alive() == 0
    with pytest.raises(LeaseError):
        begin(cluster, end)


def test_somebody_who_brings_a_writable_pod_past_the_operator_ends_the_delete(
    window: Sandbox, cluster: Cluster, admin: client.ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the watch over the pods: spec.readOnly stays true all the time."""
    monkeypatch.setattr(window_watch, "LOOK_AT_CONFIG_SECONDS", 3600.0)

    def make_writable() -> None:
        window.configure_registry(managementState="Unmanaged")
        apps = client.AppsV1Api(admin)
        deployment = apps.read_namespaced_deployment("image-registry", NAMESPACE)
        container = deployment.spec.template.spec.containers[0]
        container.env = [each for each in container.env if each.name != READ_ONLY_ENVIRONMENT]
        apps.replace_namespaced_deployment("image-registry", NAMESPACE, deployment)

    end = ended_in_time_by(make_writable, window, cluster)
    assert "is not read-only although spec.readOnly is true" in str(end.lost)
    # The rollout that the person brings about may take the pod away before the status is read.
    assert (end.interrupted, end.result.exit_status) in ((False, 143), (False, None))
    assert window.get_object("configs.imageregistry.operator.openshift.io", "cluster")["spec"]["readOnly"] is True


def test_an_answer_that_cannot_be_understood_is_said_and_the_window_is_looked_after_again(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Guards the lease: a watch that has ended in silence lets it run out."""
    monkeypatch.setattr(window_watch, "RETRY_SECONDS", 0.05)
    right = AsyncCluster.config
    malformed = ["spec", "metadata"]

    async def config(asked: AsyncCluster) -> dict[str, Any]:
        answer = await right(asked)
        if malformed:
            answer[malformed.pop(0)] = 7
        return answer

    monkeypatch.setattr(AsyncCluster, "config", config)
    slow(window)
    change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(lease.armed_at + timedelta(seconds=1)))
    assert follow(cluster, begin(cluster)).result.complete
    assert malformed == []
    assert "The look at the window failed; trying again" in caplog.text
    lease = read_lease(cluster)
    assert lease is not None
    assert lease.expires_at > lease.armed_at + timedelta(seconds=60), "renewed"


def test_a_closed_window_ends_the_delete_and_no_other_is_begun(window: Sandbox, cluster: Cluster) -> None:
    """As restore_read_write does, while an old task or the triggerer still follows."""
    slow(window, 0.2)
    attempt = begin(cluster)
    thread = meanwhile(window, lambda: close_window(cluster, holder=HOLDER, limits=LIMITS), 3)
    end = follow(cluster, attempt)
    with pytest.raises((LeaseError, NotSettledError)):
        begin(cluster, end)
    thread.join()
    assert window.pruners_alive() == 0
    deletes = [line for line in window.pruner_journal() if line["event"] == "start" and line["mode"] == "delete"]
    assert len(deletes) == 1


def test_a_follower_of_an_earlier_window_leaves_the_delete_of_this_one_alone(window: Sandbox, cluster: Cluster) -> None:
    """A triggerer that was suspended for longer than its lease wakes up beside the next window of the same run."""
    slow(window, 0.1)
    attempt = begin(cluster)
    old = attempt.model_copy(update={"name": attempt_name("first-0", 1)})
    earlier = delete_of(old).model_copy(update={"holder": Holder(run=HOLDER.run, token="first-0")})
    stale = asyncio.run(follower(cluster, earlier).follow())
    assert stale is not None
    assert (stale.interrupted, stale.lost is not None) == (False, True)
    assert window.pruners_alive() == 1
    assert follow(cluster, attempt).result.complete
    assert_all_deleted_by(window, attempts=1)


def test_the_lease_is_renewed_while_a_delete_is_followed(
    window: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_watch, "LOOK_AT_CONFIG_SECONDS", 0.2)
    slow(window, 0.1)
    change_own_lease(cluster, HOLDER, lambda lease: lease.renewed(lease.armed_at + timedelta(seconds=1)))
    end = follow(cluster, begin(cluster), lease=3.0)
    lease = read_lease(cluster)
    assert lease is not None
    assert end.result.complete
    first_end = lease.armed_at + timedelta(seconds=end.result.seconds)
    assert lease.expires_at > first_end, "renewed at the delete's beginning alone, it would have run out by now"


def test_another_process_goes_on_from_where_one_stopped(window: Sandbox, cluster: Cluster, caplog: Any) -> None:
    caplog.set_level("INFO")
    slow(window)
    first_kept, second_kept = Kept(), Kept()
    first = follower(cluster, begin(cluster), first_kept)
    while not first_kept.blobs:
        assert asyncio.run(first.follow(1.5)) is None
    handed_on = Delete.from_json(first.handed_on().to_json())
    assert handed_on.position.blobs == len(first_kept.blobs) > 0
    end = asyncio.run(follower(cluster, handed_on, second_kept).follow())
    assert end is not None
    assert (end.result.complete, end.result.list_complete, end.result.counted_blobs) == (True, True, ORPHANS)
    assert len(first_kept.blobs) + len(second_kept.blobs) == ORPHANS
    assert_progress_never_goes_back(caplog.text)


def test_a_follower_that_is_ended_leaves_the_delete_alone(window: Sandbox, cluster: Cluster) -> None:
    """A triggerer that restarts cancels its triggers."""
    slow(window)
    attempt = begin(cluster)

    async def cancel() -> None:
        task = asyncio.create_task(follower(cluster, attempt).follow())
        await asyncio.to_thread(wait_for, lambda: window.pruners_alive() == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert window.pruners_alive() == 1
    assert follow(cluster, attempt).result.complete
    assert_all_deleted_by(window, attempts=1)


def test_silence_is_noticed_once_in_its_time(window: Sandbox, cluster: Cluster, caplog: Any) -> None:
    caplog.set_level("INFO")
    slow(window, 6.0)
    delete = delete_of(begin(cluster)).model_copy(update={"ends_by": datetime.now(UTC) + timedelta(seconds=14)})
    settings = SETTINGS.model_copy(update={"silence": 1.5, "follow_every": 1.0})
    asyncio.run(follower(cluster, delete, settings=settings).follow())
    assert "scans the storage, before the first blob" in caplog.text
    assert "has named no new blob for" in caplog.text


def test_ends_are_looked_for_often_at_first(window: Sandbox, cluster: Cluster) -> None:
    """A delete that is over in a moment is noticed in a moment: the registry is read-only meanwhile."""
    assert delete_follower.QUICK_PAUSE_SECONDS <= 0.1
    attempt = begin(cluster)
    end = follow(cluster, attempt, follow_every=120.0)
    ended = [line for line in window.pruner_journal() if line["event"] == "end"][-1]
    noticed = attempt.begun_at.timestamp() + end.result.seconds
    assert noticed - ended["time"] < 60.0, "noticed when the look ends by the clock"
