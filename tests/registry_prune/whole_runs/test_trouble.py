"""Bad input and trouble: the run stops, says what is wrong, on which object, and what to do; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.preflight.access import LOOK, ROLE, WINDOW, AccessError, needed_permissions, review_access
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from tests.registry_prune.conftest import ORPHANS, kubectl
from tests.registry_prune.whole_runs.whole_run import CONNECTION_VARIABLE, Ended, connection, run_dag

pytestmark = pytest.mark.usefixtures("airflow_database")
WITHOUT_BASE_PRUNE = {"base_prune": False, "min_blobs": 10}


@pytest.fixture
def _connected(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))


def assert_stopped_at(run: Ended, task: str, *messages: str) -> None:
    """The run failed at this task, with these words, and nothing was ever read-only or deleted."""
    assert run.state == "failed"
    assert run.tasks[task] == "failed"
    assert run.tasks["hard_prune"] == "upstream_failed"
    assert run.tasks["report"] == "success"
    assert run.report["outcome"] == "failed"
    assert task in run.report["failed_tasks"]
    for message in messages:
        assert message in run.errors[task]


@pytest.mark.usefixtures("_connected")
@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"min_blob": 5}, "min_blob: there is no such setting"),
        ({"dry_run": True}, "The parameters are: hard_prune, dry_run_only"),
    ],
)
def test_unknown_keys_in_the_conf_are_refused_by_the_first_task(
    sandbox: Sandbox, caplog: Any, conf: dict[str, Any], message: str
) -> None:
    assert_stopped_at(run_dag(caplog, conf=conf), "verify_access", message)
    assert sandbox.pruner_journal() == []


@pytest.mark.parametrize("name", ["kubernetes_default", "elsewhere"])
def test_without_a_connection_no_cluster_is_touched_not_even_the_one_of_a_kubeconfig_at_home(
    sandbox: Sandbox, caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig))
    monkeypatch.delenv(CONNECTION_VARIABLE, raising=False)
    run = run_dag(caplog, connection=name)
    assert_stopped_at(run, "verify_access", f"There is no Airflow connection {name}", "docs/connection.md")


def test_a_wrong_token_is_said_and_never_shown(account: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = account.parent / "wrong-token"
    text = account.read_text()
    token = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.strip().startswith("token:"))
    wrong.write_text(text.replace(token, "not-a-token-of-this-cluster"))
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(wrong))
    run = run_dag(caplog)
    assert_stopped_at(run, "verify_access", "401", "renew its token or kubeconfig")
    assert "not-a-token-of-this-cluster" not in run.log


def test_a_token_in_the_connection_reaches_no_log(account: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    kube_config = yaml.safe_load(account.read_text())
    token = kube_config["users"][0]["user"]["token"]
    value = json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": kube_config}})
    monkeypatch.setenv(CONNECTION_VARIABLE, value)
    run = run_dag(caplog, conf={"hard_prune": "never", "survey": False, "base_prune": False})
    assert run.state == "success", run.log
    assert token not in run.log


def test_every_missing_permission_is_named_at_once_with_the_rule_to_add(
    sandbox: Sandbox, admin: client.ApiClient, account: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection(account))
    rbac = client.RbacAuthorizationV1Api(admin)
    rbac.delete_cluster_role_binding("registry-prune")
    run = run_dag(caplog)
    assert_stopped_at(
        run,
        "verify_access",
        "system:serviceaccount:registry-prune:registry-prune lacks",
        '{apiGroups: ["imageregistry.operator.openshift.io"], resources: ["configs"], resourceNames: ["cluster"], '
        'verbs: ["patch"]} in a ClusterRole',
        '{apiGroups: ["image.openshift.io"], resources: ["images"], verbs: ["list"]}',
        '{apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], resourceNames: '
        '["system:image-pruner"], verbs: ["bind"]}',
    )
    rbac.delete_namespaced_role_binding("registry-prune", "openshift-image-registry")
    again = run_dag(caplog)
    assert 'resources: ["pods/exec"]' in again.errors["verify_access"]
    assert "in namespace openshift-image-registry" in again.errors["verify_access"]


def test_the_documented_account_may_do_all_that_a_run_asks_for(cluster: Cluster) -> None:
    everything = needed_permissions({"role": True, "base_prune": True, "window": True})
    review = review_access(cluster, permissions=everything, may_open_window=True)
    assert review.user == "system:serviceaccount:registry-prune:registry-prune"


def test_each_single_permission_that_is_taken_away_is_missed(
    sandbox: Sandbox, admin: client.ApiClient, account: Path, connect: Callable[[Path], Cluster]
) -> None:
    everything = needed_permissions({"role": True, "base_prune": True, "window": True})
    cluster = connect(account)
    api = client.RbacAuthorizationV1Api(admin)
    role = api.read_cluster_role("registry-prune")
    namespaced = api.read_namespaced_role("registry-prune", "openshift-image-registry")
    for rules, replace in (
        (role.rules, lambda: api.replace_cluster_role("registry-prune", role)),
        (
            namespaced.rules,
            lambda: api.replace_namespaced_role("registry-prune", "openshift-image-registry", namespaced),
        ),
    ):
        for index in range(len(rules)):
            taken = rules.pop(index)
            role.metadata.resource_version = namespaced.metadata.resource_version = None
            replace()
            with pytest.raises(AccessError) as refused:
                review_access(cluster, permissions=everything, may_open_window=True)
            assert taken.resources[0] in str(refused.value)
            rules.insert(index, taken)
            replace()


def test_a_run_asks_only_for_what_its_parameters_need() -> None:
    looking = needed_permissions({"role": False, "base_prune": False, "window": False})
    assert set(looking) == set(LOOK)
    assert not set(looking) & {*WINDOW, *ROLE}
    assert {each.verb for each in looking} <= {"get", "list", "create"}


def wait_until_no_pod_is_left(sandbox: Sandbox) -> None:
    kubectl(
        sandbox.kubeconfig, "-n", "openshift-image-registry", "wait", "--for=delete", "pods", "--timeout=240s",
        "-l", "docker-registry=default",
    )  # fmt: skip


@pytest.mark.usefixtures("_connected")
@pytest.mark.parametrize(
    ("state", "message"),
    [("Unmanaged", "the operator would not carry readOnly on"), ("Removed", "there is no registry to prune")],
)
def test_a_registry_that_the_operator_does_not_manage_is_not_pruned(
    sandbox: Sandbox, caplog: Any, state: str, message: str
) -> None:
    patch = json.dumps({"spec": {"managementState": state}})
    kubectl(
        sandbox.kubeconfig, "patch", "configs.imageregistry.operator.openshift.io/cluster", "--type=merge", "-p", patch
    )
    if state == "Removed":
        wait_until_no_pod_is_left(sandbox)
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "verify_access", f"managementState is {state}", message)


@pytest.mark.usefixtures("_connected")
def test_without_a_ready_pod_the_run_does_not_start(sandbox: Sandbox, caplog: Any) -> None:
    config = "configs.imageregistry.operator.openshift.io/cluster"
    kubectl(sandbox.kubeconfig, "patch", config, "--type=merge", "-p", '{"spec":{"replicas":0}}')
    wait_until_no_pod_is_left(sandbox)
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "verify_access", "No registry pod is ready: there is no pod at all", "repair the registry")


@pytest.mark.usefixtures("_connected")
def test_a_registry_that_somebody_else_made_read_only_is_neither_pruned_nor_set_back(
    seeded: Sandbox, caplog: Any
) -> None:
    config = "configs.imageregistry.operator.openshift.io/cluster"
    kubectl(seeded.kubeconfig, "patch", config, "--type=merge", "-p", '{"spec":{"readOnly":true}}')
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "verify_access", "somebody else made the registry read-only", "It is left alone")
    assert kubectl(seeded.kubeconfig, "get", config, "-o", "jsonpath={.spec.readOnly}") == "true"


@pytest.mark.usefixtures("_connected")
def test_a_dry_run_that_fails_is_not_nothing_to_do(seeded: Sandbox, caplog: Any) -> None:
    summary = "Would delete 0 blobs\nWould free up 0B of disk space\nUse -prune=delete to actually delete the data\n"
    error = 'time="2026-11-23T17:42:15.537475367Z" level=error msg="error listing images: Unauthorized"\n'
    seeded.order_pruner(PrunerFaults(modes=("check",), exit_code=1, stdout=summary, stderr=error))
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "survey", "failed with exit status 1", "error listing images: Unauthorized")


@pytest.mark.usefixtures("_connected")
@pytest.mark.parametrize("output", ["", "Segmentation fault\n", "Would delete 5 blobs\n", "\x00\xff garbage"])
def test_output_that_is_none_of_the_pruner_is_no_success(seeded: Sandbox, caplog: Any, output: str) -> None:
    seeded.order_pruner(PrunerFaults(modes=("check",), exit_code=0, stdout=output, stderr=""))
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "survey", "without the pruner's summary")


@pytest.mark.usefixtures("_connected")
def test_storage_that_is_not_mounted_is_no_green_nothing_to_do(sandbox: Sandbox, caplog: Any) -> None:
    run = run_dag(caplog, conf=WITHOUT_BASE_PRUNE)
    assert_stopped_at(run, "survey_gate", "found no repositories in the registry's storage")


@pytest.mark.usefixtures("_connected")
def test_a_base_prune_that_fails_shows_its_log_and_leaves_no_job(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    seeded.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: the registry is unreachable\n"))
    run = run_dag(caplog, conf={"min_blobs": 10})
    assert_stopped_at(run, "base_prune", "The base prune failed", "error: the registry is unreachable")
    assert client.BatchV1Api(admin).list_namespaced_job("openshift-image-registry").items == []


@pytest.mark.usefixtures("_connected")
def test_without_the_image_pruner_cron_job_the_message_says_what_to_do(
    seeded: Sandbox, admin: client.ApiClient, caplog: Any
) -> None:
    client.CustomObjectsApi(admin).delete_cluster_custom_object(
        "imageregistry.operator.openshift.io", "v1", "imagepruners", "cluster"
    )
    client.BatchV1Api(admin).delete_namespaced_cron_job("image-pruner", "openshift-image-registry")
    run = run_dag(caplog, conf={"min_blobs": 10})
    assert_stopped_at(run, "base_prune", "CronJob image-pruner is not there", "switch base_prune off")


@pytest.mark.usefixtures("_connected")
def test_orphans_stay_where_a_run_stopped(seeded: Sandbox, caplog: Any) -> None:
    run_dag(caplog, conf={"nonsense": 1})
    verified = seeded.verify()
    assert verified.ok, verified.problems
    assert verified.orphans_left == ORPHANS
