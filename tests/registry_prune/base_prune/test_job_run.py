"""The base prune against the sandbox: its Job, whatever meets it, and what the registry's pods remember afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.base_prune import job_log
from include.registry_prune.base_prune import job_run as base_prune
from include.registry_prune.base_prune.job import BasePrune, job_from_cron_job, job_name
from include.registry_prune.base_prune.job_run import BasePruneError, run_base_prune
from include.registry_prune.base_prune.registry_restart import restart_registry
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.jobs import active_jobs
from include.registry_prune.cluster.settling import NotSettledError
from include.registry_prune.preflight.access import AccessError, review_access
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.lease import Holder
from include.registry_prune.window.opening import arm
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.server.faults import FaultRule
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, connection, run_dag

HOLDER = "registry_prune/manual"
OTHER = Holder(run="other/run", token="other-1")
NAMESPACE = "openshift-image-registry"
UNAVAILABLE = "the server is currently unable to handle the request (get images.image.openshift.io)"
PRUNER_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:pruner"
SLOW = PrunerFaults(modes=("base-prune",), seconds_per_blob=0.2)
LIMITS = ClosingLimits(settle_seconds=60, stop_seconds=1, reopen_anyway_seconds=3600)


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_prune, "_POLL_SECONDS", 0.1)


def prune(cluster: Cluster, **changes: Any) -> BasePrune:
    """A base prune of all that the seed has to offer."""
    arguments: dict[str, Any] = {
        "holder": HOLDER,
        "keep_tag_revisions": 1,
        "keep_younger_than": "0s",
        "dry_run": False,
        "wait_seconds": 300,
        "limit_seconds": 600,
    }
    return run_base_prune(cluster, **{**arguments, **changes})


def other_job(cluster: Cluster, name: str = "image-pruner-28000000", *appended: str) -> str:
    """A base prune of somebody else, made as the CronJob makes it."""
    cron_job = cluster.cron_job()
    assert cron_job is not None
    appended = appended or ("--keep-tag-revisions=1", "--keep-younger-than=0s")
    cluster.create_job(job_from_cron_job(cron_job, name=name, appended=appended, limit_seconds=60))
    return name


def own_jobs(cluster: Cluster) -> list[str]:
    return [job["metadata"]["name"] for job in cluster.jobs() if job["metadata"]["name"] == job_name(HOLDER)]


def until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Something that goes on beside the block; an error of it fails the test."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not errors, errors


def test_the_figures_are_what_went_and_the_log_is_in_the_log(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    caplog.set_level("INFO")
    images = len(list(cluster.images()))
    result = prune(cluster)
    assert result.figures is not None
    assert result.figures.images == images - len(list(cluster.images())) > 0
    assert result.figures.blobs > 0
    assert result.storage_changed
    assert result.ended_at is not None
    assert abs(datetime.now(UTC) - result.ended_at) < timedelta(minutes=1)
    assert caplog.messages.count(result.summary) == 1
    assert sum(message.startswith("Deleting image sha256:") for message in caplog.messages) == result.figures.images
    assert own_jobs(cluster) == []


def test_a_dry_run_says_what_would_go_and_nothing_goes(seeded: Sandbox, cluster: Cluster) -> None:
    images = len(list(cluster.images()))
    result = prune(cluster, dry_run=True)
    assert result.figures is not None
    assert result.figures.images > 0
    assert not result.storage_changed
    assert len(list(cluster.images())) == images


def test_another_base_prune_is_waited_for(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    """Guards the wait: two at once delete the same things under each other's hands, and one of them fails."""
    caplog.set_level("INFO")
    seeded.order_pruner(SLOW)
    other = other_job(cluster)
    until(lambda: active_jobs(cluster) == [other])
    ended_before: list[bool] = []

    def look() -> None:
        until(lambda: bool(own_jobs(cluster)))
        ended_before.append(other not in active_jobs(cluster))

    with meanwhile(look):
        prune(cluster)
    assert ended_before == [True]
    assert f"another base prune is at work (Job {other})" in caplog.text


def test_another_base_prune_that_does_not_end_is_a_stop(seeded: Sandbox, cluster: Cluster) -> None:
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), seconds_per_blob=60))
    other = other_job(cluster)
    with pytest.raises(BasePruneError, match=f"{other}.*raise the setting base_prune_wait") as stopped:
        prune(cluster, wait_seconds=0.5)
    assert not stopped.value.passes
    assert own_jobs(cluster) == []


def test_no_job_is_made_while_something_else_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the base prune's own look: it has waited for other Jobs, for hours perhaps, and meanwhile a window of
    another run may be open."""
    asked: list[str] = []
    quiet: Any = SimpleNamespace(job=lambda name: None, jobs=list, image_count=lambda: 1)

    def look(cluster: object, *, waits_for_jobs: bool) -> list[str]:
        assert waits_for_jobs
        return ["other/run holds the read-only window."]

    monkeypatch.setattr(base_prune, "in_the_way", look)
    monkeypatch.setattr(base_prune, "_create_job", lambda *_: asked.append("create"))
    with pytest.raises(BasePruneError, match=r"The base prune was not started: other/run holds the read-only window\."):
        prune(quiet)
    assert asked == []


def test_a_second_try_follows_the_job_of_the_first(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    """Guards the Job's name: without it a second try would wait for the first one's Job as for somebody else's."""
    caplog.set_level("INFO")
    seeded.order_pruner(SLOW)
    first = other_job(cluster, job_name(HOLDER))
    until(lambda: active_jobs(cluster) == [first])
    result = prune(cluster, wait_seconds=0)
    assert result.figures is not None
    assert result.figures.images > 0
    assert "made by an earlier try of this task: following it" in caplog.text


def test_a_second_try_reads_the_result_of_a_job_that_has_ended_meanwhile(seeded: Sandbox, cluster: Cluster) -> None:
    other_job(cluster, job_name(HOLDER))
    until(lambda: active_jobs(cluster) == [])
    # That is no reason to wait: nothing is started any more.
    seeded.api_faults.add(FaultRule(resource="images", status=503))
    result = prune(cluster, wait_seconds=0)
    assert result.figures is not None
    assert result.figures.images > 0
    assert own_jobs(cluster) == []


def test_an_answer_that_is_lost_when_the_job_is_made_makes_no_second_one(seeded: Sandbox, cluster: Cluster) -> None:
    seeded.api_faults.add(FaultRule(verb="create", resource="jobs", drop_after=True, remaining=1))
    with pytest.raises(ClusterError, match="cannot be reached"):
        prune(cluster)
    assert own_jobs(cluster) == [job_name(HOLDER)]
    assert prune(cluster, wait_seconds=0).figures is not None


def test_no_line_of_the_log_is_lost_or_read_twice_over_cut_connections(
    seeded: Sandbox, cluster: Cluster, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the reading on from where it stopped: a summary read twice would be counted twice."""
    caplog.set_level("INFO")
    monkeypatch.setattr(job_log, "SILENCE_SECONDS", 0.2)
    seeded.order_pruner(SLOW)
    result = prune(cluster)
    assert result.figures is not None
    assert sum(message.startswith("Deleting image sha256:") for message in caplog.messages) == result.figures.images
    assert caplog.messages.count(result.summary) == 1


def test_the_log_is_shown_while_the_job_works(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    caplog.set_level("INFO")
    seeded.order_pruner(SLOW)

    def look() -> None:
        until(lambda: "Deleting image sha256:" in caplog.text)
        assert active_jobs(cluster) == [job_name(HOLDER)]

    with meanwhile(look):
        prune(cluster)


def test_an_outage_of_the_openshift_api_server_in_mid_prune_is_no_failure_of_the_images(
    seeded: Sandbox, cluster: Cluster
) -> None:
    """Guards the cause: what passes by itself is tried again, and nobody looks for a broken image."""
    seeded.api_faults.add(FaultRule(user=PRUNER_ACCOUNT, resource="images", status=503, message=UNAVAILABLE))
    with pytest.raises(BasePruneError) as failed:
        prune(cluster)
    assert failed.value.passes
    assert "The OpenShift API server, which serves images" in str(failed.value)
    assert UNAVAILABLE in str(failed.value)
    assert "Attempts: 6" in str(failed.value)
    assert own_jobs(cluster) == []


def test_no_job_is_started_into_an_outage_of_the_api_of_images(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    """Guards: a Job that fails for seven minutes would mark the ImagePruner as failed, for nothing."""
    caplog.set_level("INFO")
    rule = seeded.api_faults.add(FaultRule(resource="images", status=503))
    with pytest.raises(BasePruneError, match="forwards this to the OpenShift API server") as failed:
        prune(cluster, wait_seconds=0)
    assert failed.value.passes
    assert own_jobs(cluster) == []

    def end_the_outage() -> None:
        until(lambda: "Waiting for up to" in caplog.text)
        seeded.api_faults.remove(rule)

    with meanwhile(end_the_outage):
        assert prune(cluster).figures is not None


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("error: no such thing\n", "error: no such thing"),
        ("\nThe following objects have invalid references:\n\n  pod x\n", "set spec.ignoreInvalidImageReferences"),
    ],
)
def test_a_real_failure_is_none_that_passes(seeded: Sandbox, cluster: Cluster, stderr: str, message: str) -> None:
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr=stderr))
    with pytest.raises(BasePruneError) as failed:
        prune(cluster)
    assert not failed.value.passes
    for part in (message, "BackoffLimitExceeded", "exit status 1", "The Job is deleted"):
        assert part in str(failed.value)
    assert own_jobs(cluster) == []


def test_image_streams_that_others_change_in_every_attempt_are_left_for_the_next_base_prune(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    """Guards the night's run: what is busy tonight is passing trouble, and all the rest is pruned."""
    conflict = (
        'Operation cannot be fulfilled on imagestreams.image.openshift.io "app": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )
    seeded.api_faults.add(FaultRule(user=PRUNER_ACCOUNT, resource="imagestreams/status", status=409, message=conflict))
    result = prune(cluster)
    assert result.streams_left > 0
    assert result.attempts == 6
    assert "left for the next base prune" in result.text()
    assert "The run goes on" in caplog.text
    assert own_jobs(cluster) == []


def test_what_a_job_deleted_before_it_failed_is_said(seeded: Sandbox, cluster: Cluster) -> None:
    said = "Summary: deleted 2 blob(s)\n"
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stdout=said, stderr="error: no\n"))
    with pytest.raises(BasePruneError, match="Before that it deleted 12 blobs"):
        prune(cluster)


def test_a_job_that_takes_too_long_is_ended_and_its_pod_is_gone(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the wait for the Job's pods: a base prune must not go on beside what comes next."""
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), seconds_per_blob=60))
    with pytest.raises(BasePruneError, match="DeadlineExceeded"):
        prune(cluster, limit_seconds=1)
    assert own_jobs(cluster) == []
    assert cluster.pods_of_job(job_name(HOLDER)) == []


def test_a_job_that_kubernetes_does_not_end_is_ended_from_here(
    seeded: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_prune, "_OWN_DEADLINE_SECONDS", -598.0)
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), seconds_per_blob=60))
    with pytest.raises(BasePruneError, match="and Kubernetes did not end it either"):
        prune(cluster)
    assert own_jobs(cluster) == []
    assert cluster.pods("app=image-pruner") == []


def test_a_job_that_somebody_deletes_in_mid_prune_is_a_failure(seeded: Sandbox, cluster: Cluster) -> None:
    seeded.order_pruner(SLOW)

    def delete() -> None:
        until(lambda: active_jobs(cluster) == [job_name(HOLDER)])
        cluster.delete_job(job_name(HOLDER))

    with meanwhile(delete), pytest.raises(BasePruneError, match="somebody else deleted it"):
        prune(cluster)


def test_a_job_that_cannot_be_deleted_hides_neither_its_failure_nor_its_success(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    seeded.api_faults.add(FaultRule(verb="delete", resource="jobs", status=403))
    assert prune(cluster).figures is not None
    assert "could not be deleted" in caplog.text
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: this one\n"))
    with pytest.raises(BasePruneError, match="error: this one") as failed:
        prune(cluster, holder="registry_prune/other")
    assert "could not be deleted" in str(failed.value)


def delete_image_pruner(admin: client.ApiClient) -> None:
    client.CustomObjectsApi(admin).delete_cluster_custom_object(
        "imageregistry.operator.openshift.io", "v1", "imagepruners", "cluster"
    )


def test_a_missing_image_pruner_is_explained(sandbox: Sandbox, cluster: Cluster, admin: client.ApiClient) -> None:
    delete_image_pruner(admin)
    client.BatchV1Api(admin).delete_namespaced_cron_job("image-pruner", NAMESPACE)
    with pytest.raises(BasePruneError, match="is not there either"):
        prune(cluster)


def test_a_missing_cron_job_of_an_image_pruner_that_is_there_is_explained(
    sandbox: Sandbox, cluster: Cluster, admin: client.ApiClient
) -> None:
    sandbox.stop_operator()
    client.BatchV1Api(admin).delete_namespaced_cron_job("image-pruner", NAMESPACE)
    with pytest.raises(BasePruneError, match="is the operator at work\\? Conditions of the ImagePruner: "):
        prune(cluster)


def test_a_suspended_image_pruner_is_said_and_does_not_matter(seeded: Sandbox, cluster: Cluster, caplog: Any) -> None:
    caplog.set_level("INFO")
    cluster.suspend_image_pruner(True)
    until(lambda: bool((cluster.cron_job() or {})["spec"].get("suspend")))
    assert prune(cluster).figures is not None
    assert "the cluster does not prune images by itself" in caplog.text


def uids(cluster: Cluster) -> set[str]:
    return {pod.uid for pod in cluster.registry_state().pods if not pod.ended}


def test_every_pod_is_replaced_and_one_is_always_ready(sandbox: Sandbox, cluster: Cluster) -> None:
    before = uids(cluster)
    over = threading.Event()
    ready: list[int] = []

    def watch() -> None:
        while not over.is_set():
            ready.append(len(cluster.registry_state().ready_pods()))

    with meanwhile(watch):
        restart = restart_registry(cluster, pruned_until=datetime.now(UTC), limit_seconds=300)
        over.set()
    assert restart.replaced == len(before) == 2
    assert not before & uids(cluster)
    assert len(uids(cluster)) == 2
    assert min(ready) >= 1


def test_a_second_try_replaces_only_what_the_first_left(sandbox: Sandbox, cluster: Cluster) -> None:
    pods = cluster.registry_state().pods
    assert all(pod.created_at for pod in pods)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    assert restart_registry(cluster, pruned_until=long_ago, limit_seconds=300).replaced == 0
    assert uids(cluster) == {pod.uid for pod in pods}


def test_no_pod_is_deleted_under_an_open_window(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards: the other run's pruner works in one of these pods."""
    before = uids(cluster)
    arm(
        cluster,
        holder=OTHER,
        run_url="",
        lasts=timedelta(hours=1),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=False,
        limits=LIMITS,
    )
    restart = restart_registry(cluster, pruned_until=datetime.now(UTC), limit_seconds=300)
    assert (restart.replaced, uids(cluster)) == (0, before)
    assert "other/run holds the read-only window" in restart.not_done
    close_window(cluster, holder=OTHER, limits=LIMITS)


def test_no_pod_is_deleted_while_the_registry_is_read_only(sandbox: Sandbox, cluster: Cluster) -> None:
    cluster.patch_config({"spec": {"readOnly": True}})
    sandbox.wait_until_settled()
    before = uids(cluster)
    assert (
        "the registry is read-only"
        in restart_registry(cluster, pruned_until=datetime.now(UTC), limit_seconds=300).not_done
    )
    assert uids(cluster) == before


def test_a_new_pod_that_does_not_get_ready_leaves_the_other_one_alone(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards the one after another: a registry that cannot start any more keeps the pods that serve."""
    before = uids(cluster)
    sandbox.hold_readiness()
    with pytest.raises(NotSettledError):
        restart_registry(cluster, pruned_until=datetime.now(UTC), limit_seconds=3)
    until(lambda: len(before & uids(cluster)) < 2)  # the pod that was deleted may still be on its way out
    assert len(before & uids(cluster)) == 1
    assert len(cluster.registry_state().ready_pods()) == 1


def test_a_base_prune_that_is_at_work_at_the_start_stops_only_a_run_without_one_of_its_own(
    seeded: Sandbox, cluster: Cluster, caplog: Any
) -> None:
    caplog.set_level("INFO")
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), seconds_per_blob=60))
    other = other_job(cluster)
    until(lambda: active_jobs(cluster) == [other])
    arguments: dict[str, Any] = {"permissions": (), "may_open_window": True}
    with pytest.raises(AccessError, match=f"A base prune is at work \\(Job {other}\\)"):
        review_access(cluster, **arguments)
    review_access(cluster, **arguments, waits_for_base_prune=True)
    assert f"A base prune is at work already (Job {other}): base_prune will wait" in caplog.text


QUIET = {"min_blobs": 1_000_000, "min_size": "1TiB", "keep_tag_revisions": 1, "keep_younger_than": "0s"}


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize(
    ("setting", "replaced", "told"),
    [
        (True, 2, "; 2 registry pods replaced"),
        (False, 0, "; the registry's pods were not replaced (restart_after_base_prune is off)"),
    ],
    ids=["switched on", "switched off"],
)
def test_a_run_without_a_window_replaces_the_pods_if_the_settings_say_so(
    seeded: Sandbox,
    account: Path,
    cluster: Cluster,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
    setting: bool,
    replaced: int,
    told: str,
) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))
    before = uids(cluster)
    run = run_dag(caplog, conf=QUIET, restart_after_base_prune=setting)
    assert run.state == "success", run.errors
    assert run.tasks["hard_prune"] == "skipped"
    assert run.results["restart_registry"]["replaced"] == replaced
    assert len(before - uids(cluster)) == replaced
    assert told in run.report["base_prune"]
