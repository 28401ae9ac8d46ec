"""The checks before a run, and once more before its window: each alone, on a cluster that is otherwise fine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.names import NAMESPACE
from include.registry_prune.preflight.access import AccessError, AccessReview, needed_permissions, review_access
from include.registry_prune.preflight.readiness import guard_notes, look, obstacles
from include.registry_prune.run.run_context import Run
from include.registry_prune.tasks.gates import BlobThreshold
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.window.in_the_way import in_the_way as pruners_and_windows
from include.registry_prune.window.lease import Holder
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.server.faults import FaultRule
from tests.registry_prune.conftest import KUBECTL, ORPHANS, PROJECT, kubectl
from tests.registry_prune.deletion.detached_pod import wait_for
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

HOLDER = Holder(run="dag/run", token="run-1")
CONFIG = "configs.imageregistry.operator.openshift.io/cluster"
EVERYTHING = needed_permissions({"role": True, "base_prune": True, "window": True})
GUARD = str(PROJECT / "deploy" / "guard.yaml")
CONF = {"base_prune": False, "min_blobs": 10}


def review(cluster: Cluster, *, may_open_window: bool = True) -> AccessReview:
    return review_access(cluster, permissions=EVERYTHING, may_open_window=may_open_window)


def refusal(cluster: Cluster) -> str:
    """Why a run is refused. Right before the window the same problems are found."""
    with pytest.raises(AccessError) as refused:
        review(cluster)
    again = [*look(cluster, may_open_window=True).problems, *pruners_and_windows(cluster)]
    assert "\n".join(again) == str(refused.value)
    return str(refused.value)


def in_the_way(cluster: Cluster, running_builds: Action = Action.SKIP) -> list[tuple[str, Action]]:
    return [(each.what, each.if_it_stays) for each in obstacles(cluster, holder=HOLDER, running_builds=running_builds)]


@contextmanager
def kubectl_in_background(kubeconfig: Path, *arguments: str) -> Iterator[None]:
    """A person's kubectl that goes on working."""
    process = subprocess.Popen([KUBECTL, f"--kubeconfig={kubeconfig}", *arguments])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def phase(sandbox: Sandbox, build: str) -> str:
    return str(sandbox.get_object("builds.build.openshift.io", build, "shop")["status"]["phase"])


def test_a_cluster_in_good_order_is_let_through_and_nothing_is_in_the_way(sandbox: Sandbox, cluster: Cluster) -> None:
    kubectl(sandbox.kubeconfig, "apply", "-f", GUARD)
    reviewed = review(cluster)
    assert (reviewed.storage, reviewed.notes) == ("pvc", ())
    assert reviewed.cluster_version.startswith("4.")
    assert in_the_way(cluster) == []


NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)


def guard_job(
    last: datetime | None, *, made: datetime = NOW - timedelta(days=9), suspend: bool = False
) -> dict[str, Any]:
    status = {} if last is None else {"lastSuccessfulTime": last.isoformat()}
    return {"metadata": {"creationTimestamp": made.isoformat()}, "spec": {"suspend": suspend}, "status": status}


@pytest.mark.parametrize(
    ("cron_job", "said"),
    [
        (None, "is not there"),
        (guard_job(NOW - timedelta(minutes=4), suspend=True), "spec.suspend true"),
        (guard_job(NOW - timedelta(hours=5)), "ended well last at 2026-11-25 22:00:00 UTC"),
        (guard_job(None), "has never ended well"),
    ],
    ids=["none", "suspended", "long ago", "never"],
)
def test_a_guard_in_the_cluster_that_was_not_seen_lately_is_said(cron_job: dict[str, Any] | None, said: str) -> None:
    (note,) = guard_notes(cron_job, now=NOW)
    assert said in note
    assert "CronJob registry-guard in namespace registry-prune" in note


@pytest.mark.parametrize(
    "cron_job", [guard_job(NOW - timedelta(minutes=4)), guard_job(None, made=NOW - timedelta(minutes=4))]
)
def test_a_guard_that_was_seen_or_applied_lately_is_no_matter(cron_job: dict[str, Any]) -> None:
    assert guard_notes(cron_job, now=NOW) == []


def test_whatever_is_known_of_the_guard_it_stops_no_run(
    sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster
) -> None:
    (missing,) = review(cluster).notes
    assert "There is no guard in the cluster" in missing
    assert review(cluster, may_open_window=False).notes == ()
    client.RbacAuthorizationV1Api(admin).delete_namespaced_role("registry-prune", "registry-prune")
    (unknown,) = review(cluster).notes
    assert "is not known" in unknown
    assert "403" in unknown


def test_a_cluster_without_builds_is_said_and_not_taken_for_one_without_running_builds(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    """Guards the note: since 4.14 a cluster can be installed without builds, and a 404 says no more than that."""
    kubectl(sandbox.kubeconfig, "apply", "-f", GUARD)
    sandbox.api_faults.add(FaultRule(resource="builds", status=404))
    (note,) = review(cluster).notes
    assert "nothing is known of running builds" in note
    assert in_the_way(cluster) == []


def test_one_look_is_at_one_moment(sandbox: Sandbox, cluster: Cluster) -> None:
    """Config and Deployment are each asked for once, so that nothing is judged by two of their states."""
    sandbox.requests.clear()
    look(cluster, may_open_window=True)
    user = "system:serviceaccount:registry-prune:registry-prune"
    asked = {each: sandbox.requests.total(user=user, verb="get", resource=each) for each in ("configs", "deployments")}
    assert asked == {"configs": 1, "deployments": 1}


def test_a_version_that_destroys_oci_images_is_refused(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards the check of the ClusterVersion."""
    sandbox.set_cluster_version("4.9.17")
    assert "4.9.17 has OCPBUGS-102" in refusal(cluster)
    noted = review(cluster, may_open_window=False)
    assert any("This run deletes nothing, but" in note and "OCPBUGS-102" in note for note in noted.notes)


def test_a_cluster_without_a_cluster_version_is_refused(
    sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster
) -> None:
    client.CustomObjectsApi(admin).delete_cluster_custom_object(
        "config.openshift.io", "v1", "clusterversions", "version"
    )
    assert "ClusterVersion version is not there" in refusal(cluster)


def test_an_update_of_the_cluster_is_said_and_is_waited_for(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards the obstacle: an update drains the nodes that the pruner runs on."""
    sandbox.set_cluster_version("4.99.1", completed=False)
    reviewed = review(cluster)
    assert reviewed.cluster_version == "4.99.1"
    assert any("an update to 4.99.1 is under way" in note for note in reviewed.notes)
    ((text, if_it_stays),) = in_the_way(cluster)
    assert "an update to 4.99.1 is under way" in text
    assert if_it_stays is Action.SKIP


@pytest.fixture
def stored_in(tmp_path: Path, connect: Callable[[Path], Cluster], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster whose registry has another kind of storage, seen by an administrator."""
    with Sandbox(tmp_path / "sandbox", SandboxSettings.quick(replicas=2, storage=request.param)) as running:
        kubectl(running.kubeconfig, "apply", "-f", str(PROJECT / "deploy" / "rbac.yaml"), "-f", GUARD)
        yield connect(running.kubeconfig)


@pytest.mark.parametrize("stored_in", ["emptyDir"], indirect=True)
def test_an_empty_dir_is_refused(stored_in: Cluster) -> None:
    """Guards the check of the storage: each pod has its own, and the window's rollout empties them."""
    assert "The registry's storage is an emptyDir" in refusal(stored_in)


@pytest.mark.parametrize("stored_in", ["none"], indirect=True)
def test_a_registry_without_storage_is_refused_with_everything_that_is_wrong(stored_in: Cluster) -> None:
    said = refusal(stored_in)
    assert "managementState is Removed" in said
    assert "no storage is configured" in said


@pytest.mark.parametrize("stored_in", ["swift"], indirect=True)
def test_an_eventually_consistent_store_is_said_and_let_through(stored_in: Cluster) -> None:
    reviewed = review(stored_in)
    assert reviewed.storage == "swift"
    assert any("eventually consistent" in note for note in reviewed.notes)


@pytest.mark.parametrize("stored_in", ["s3"], indirect=True)
def test_an_object_store_is_fine(stored_in: Cluster) -> None:
    """Of another maker than Amazon it is said what that may mean."""
    reviewed = review(stored_in)
    assert reviewed.storage == "s3"
    (note,) = reviewed.notes
    assert "is not Amazon's. If it is eventually consistent" in note


@pytest.mark.parametrize(
    ("condition", "status", "message"),
    [("Degraded", "True", "no space left on device"), ("Available", "False", "deployment has no replicas available")],
)
def test_an_operator_that_complains_is_refused_with_its_own_words(
    sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster, condition: str, status: str, message: str
) -> None:
    """Guards the check of the operator's conditions."""
    sandbox.stop_operator()
    set_condition(admin, condition, status, message)
    said = refusal(cluster)
    assert f"the operator says {condition}={status} Played: {message}" in said
    assert "Repair that first" in said


def test_an_operator_at_work_is_said(sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster) -> None:
    sandbox.stop_operator()
    set_condition(admin, "Progressing", "True", "the deployment has not completed")
    assert any("Progressing=True Played: the deployment" in note for note in review(cluster).notes)


def set_condition(admin: client.ApiClient, condition: str, status: str, message: str) -> None:
    """As the operator, which is stopped, would."""
    api = client.CustomObjectsApi(admin)
    arguments = ("imageregistry.operator.openshift.io", "v1", "configs", "cluster")
    config = api.get_cluster_custom_object(*arguments)
    for each in config["status"]["conditions"]:
        if each["type"] == condition:
            each.update(status=status, reason="Played", message=message)
    api.replace_cluster_custom_object_status(*arguments, config)


def test_a_registry_that_is_rolled_out_is_waited_for(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards the obstacle: what does not settle now would not settle read-only, and be closed for nothing."""
    sandbox.hold_readiness()
    sandbox.configure_registry(logLevel="Debug", replicas=3)
    try:
        wait_for(lambda: bool(in_the_way(cluster)))
        ((text, if_it_stays),) = in_the_way(cluster)
        assert "not settled read-write" in text
        assert if_it_stays is Action.STOP
    finally:
        sandbox.allow_readiness()


def test_a_base_prune_at_work_is_waited_for(sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster) -> None:
    """Guards the obstacle: the cluster's own image pruner may have begun meanwhile."""
    template = client.BatchV1Api(admin).read_namespaced_cron_job("image-pruner", "openshift-image-registry")
    spec = template.spec.job_template.spec
    spec.suspend = True  # so that it stays at work
    job = client.V1Job(metadata=client.V1ObjectMeta(name="image-pruner-1"), spec=spec)
    client.BatchV1Api(admin).create_namespaced_job("openshift-image-registry", job)
    assert in_the_way(cluster) == [("A base prune is at work (Job image-pruner-1): let it end first.", Action.STOP)]


def test_a_build_that_pushes_to_the_registry_is_waited_for_and_no_other(sandbox: Sandbox, cluster: Cluster) -> None:
    """Guards the obstacle, and the page by page list of all builds."""
    sandbox.start_build("shop", "app-1", output="shop/app:latest", seconds=120)
    sandbox.start_build("shop", "elsewhere-1", output="quay.io/shop/app:latest", seconds=120)
    sandbox.start_build("shop", "nowhere-1", output="", seconds=120)
    sandbox.start_build("office", "web-7", output="office/web:2", seconds=120)
    text = "2 builds (office/web-7, shop/app-1) would lose their push to the registry"
    assert in_the_way(cluster) == [(text, Action.SKIP)]
    assert in_the_way(cluster, Action.STOP) == [(text, Action.STOP)]


def test_a_build_that_has_ended_is_in_nobodys_way(sandbox: Sandbox, cluster: Cluster) -> None:
    sandbox.start_build("shop", "app-1", seconds=0.1)
    wait_for(lambda: not in_the_way(cluster))
    assert phase(sandbox, "app-1") == "Complete"


def test_a_cluster_that_has_no_builds_at_all_is_fine(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 4.14 builds can be left out of a cluster; its API server answers 404."""
    monkeypatch.setattr("include.registry_prune.cluster.cluster.BUILDS", "/apis/build.openshift.io/v1/nothing")
    assert in_the_way(cluster) == []


def test_a_pruner_that_nobody_knows_of_is_refused(seeded: Sandbox, cluster: Cluster) -> None:
    """Guards the look into the pods: two pruners at once end each other."""
    grant_role(cluster)
    seeded.order_pruner(PrunerFaults(modes=("check",), seconds_per_blob=1.0))
    pod = seeded.registry_pods()[0]["metadata"]["name"]
    command = ("-n", NAMESPACE, "exec", pod, "--", "/usr/bin/dockerregistry", "-prune=check")
    with kubectl_in_background(seeded.kubeconfig, *command):
        wait_for(lambda: seeded.pruners_alive() == 1)
        said = refusal(cluster)
        assert any("A pruner is at work already" in text for text, _ in in_the_way(cluster)), "it may go by itself"
        with pytest.raises(AccessError, match="A pruner is at work already"):
            review(cluster, may_open_window=False)
    assert "A pruner is at work already" in said
    assert "-prune=check" in said


def test_all_problems_are_told_at_once(sandbox: Sandbox, admin: client.ApiClient, cluster: Cluster) -> None:
    sandbox.set_cluster_version("4.9.17")
    sandbox.stop_operator()
    set_condition(admin, "Degraded", "True", "no space left on device")
    kubectl(sandbox.kubeconfig, "patch", CONFIG, "--type=merge", "-p", json.dumps({"spec": {"readOnly": True}}))
    rbac = client.RbacAuthorizationV1Api(admin)
    role = rbac.read_cluster_role("registry-prune")
    role.rules = [rule for rule in role.rules if rule.resources != ["clusterroles"]]
    rbac.replace_cluster_role("registry-prune", role)
    with pytest.raises(AccessError) as refused:
        review(cluster)
    for part in ('resources: ["clusterroles"]', "OCPBUGS-102", "Degraded=True", "somebody else made the registry"):
        assert part in str(refused.value)


@pytest.mark.usefixtures("airflow_database", "_connected")
class TestWholeRun:
    def assert_nothing_was_touched(self, sandbox: Sandbox, run: Ended) -> None:
        assert not [line for line in sandbox.pruner_journal() if line.get("mode") == "delete"]
        assert run.report["read_only_seconds"] == 0
        verified = sandbox.verify()
        assert verified.ok, verified.problems
        assert verified.orphans_left == ORPHANS

    @pytest.fixture
    def _connected(self, account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))

    def test_a_cluster_of_version_4_9_loses_nothing(self, seeded: Sandbox, caplog: Any) -> None:
        seeded.set_cluster_version("4.9.17")
        run = run_dag(caplog, conf={**CONF, "hard_prune": "force"})
        assert run.state == "failed"
        assert "4.9.17 has OCPBUGS-102" in run.errors["verify_access"]
        assert "bring the cluster to" in run.errors["verify_access"]
        self.assert_nothing_was_touched(seeded, run)

    def test_outside_the_opening_hours_a_run_only_looks_and_says_why(self, seeded: Sandbox, caplog: Any) -> None:
        now = datetime.now(UTC)
        hours = f"{now - timedelta(hours=3):%H:%M}-{now - timedelta(hours=2):%H:%M}"
        run = run_dag(caplog, conf={**CONF, "integrity_check": False}, opening_hours=hours)
        assert run.state == "success", run.errors
        assert run.tasks["survey"] == "success"
        assert (run.tasks["right_moment"], run.tasks["arm_window"]) == ("skipped", "skipped")
        assert run.report["outcome"] == "postponed"
        assert f"outside the opening hours {hours} UTC" in run.report["reasons"][-1]
        self.assert_nothing_was_touched(seeded, run)

    def test_while_builds_run_the_window_stays_closed(self, seeded: Sandbox, caplog: Any) -> None:
        seeded.start_build("shop", "app-1", seconds=300)
        run = run_dag(caplog, conf={**CONF, "integrity_check": False}, moment_wait="0s")
        assert run.state == "success", run.errors
        assert run.report["outcome"] == "postponed"
        assert run.report["reasons"][-2].startswith("1 build (shop/app-1) would lose its push to the registry")
        self.assert_nothing_was_touched(seeded, run)

    def test_builds_that_lose_their_push_to_the_window_are_in_the_report(
        self, seeded: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verdict = BlobThreshold.verdict

        def verdict_after_a_lost_push(gate: BlobThreshold, run: Run) -> Verdict | None:
            """With the registry read-only a build comes to its push."""
            seeded.start_build("shop", "app-2", seconds=0)
            wait_for(lambda: phase(seeded, "app-2") == "Failed")
            return verdict(gate, run)

        monkeypatch.setattr(BlobThreshold, "verdict", verdict_after_a_lost_push)
        seeded.start_build("shop", "app-1", seconds=300)
        conf = {**CONF, "integrity_check": False, "survey": False, "running_builds": "go_on"}
        run = run_dag(caplog, conf=conf, moment_wait="0s")
        assert run.state == "success", run.errors
        report = run.report
        assert (report["outcome"], report["builds_hit"], report["builds_hit_names"]) == ("pruned", 1, ["shop/app-2"])
        assert report["reasons"][-2].startswith("1 build (shop/app-1) would lose its push to the registry")
        assert report["reasons"][-1] == "the run opens the window all the same"
