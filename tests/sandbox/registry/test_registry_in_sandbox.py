"""Seed, both pruners and ``verify`` in a whole sandbox: its API, its pods, its Jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.stream import stream

from sandbox.base.names import CLUSTER, CONFIGS, CONTAINER, IMAGE_PRUNERS, NAMESPACE, PRUNER_CRON_JOB
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from tests.sandbox.cluster_tools import eventually

PLAN = SeedPlan(images=40, orphans=60, size="100KiB")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox", SandboxSettings.quick(replicas=1)) as running:
        running.seed(PLAN)
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(sandbox.kubeconfig)) as opened:
        yield opened
        opened.rest_client.pool_manager.clear()


def execute(sandbox: Sandbox, api: client.ApiClient, script: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a script in a registry pod."""
    pod = sandbox.registry_pods()[0]["metadata"]["name"]
    response = stream(
        client.CoreV1Api(api).connect_get_namespaced_pod_exec,
        pod, NAMESPACE, container=CONTAINER, command=["/bin/sh", "-c", script],
        stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    with closing(response):
        response.run_forever(timeout=60)
        return response.returncode, response.read_stdout() or "", response.read_stderr() or ""


def grant(api: client.ApiClient) -> None:
    """What ``oc adm policy add-cluster-role-to-user system:image-pruner -z registry`` makes."""
    client.RbacAuthorizationV1Api(api).create_cluster_role_binding(
        {
            "metadata": {"name": "system:image-pruner"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:image-pruner"},
            "subjects": [{"kind": "ServiceAccount", "name": "registry", "namespace": NAMESPACE}],
        }
    )


def revoke(api: client.ApiClient) -> None:
    client.RbacAuthorizationV1Api(api).delete_cluster_role_binding("system:image-pruner")


def start_base_prune(api: client.ApiClient, name: str) -> None:
    """What ``oc create job --from=cronjob/image-pruner`` makes."""
    batch = client.BatchV1Api(api)
    template = batch.read_namespaced_cron_job(PRUNER_CRON_JOB, NAMESPACE).spec.job_template
    batch.create_namespaced_job(NAMESPACE, client.V1Job(metadata={"name": name}, spec=template.spec))


def finished(api: client.ApiClient, name: str) -> str | None:
    conditions = client.BatchV1Api(api).read_namespaced_job(name, NAMESPACE).status.conditions or []
    return next((entry.type for entry in conditions if entry.type in ("Complete", "Failed")), None)


def job_log(api: client.ApiClient, name: str) -> str:
    core = client.CoreV1Api(api)
    (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector=f"job-name={name}").items
    # Unread: the client makes the text of a Python literal out of what it reads itself.
    answer = core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, _preload_content=False)
    text = bytes(answer.data).decode()
    answer.release_conn()
    return text


def test_a_seeded_sandbox_is_well(sandbox: Sandbox) -> None:
    report = sandbox.verify()
    assert list(report.problems) == []
    assert report.orphans_left == 60


def test_without_the_role_the_pruner_is_refused_by_name(sandbox: Sandbox, api: client.ApiClient) -> None:
    exit_code, stdout, stderr = execute(sandbox, api, "/usr/bin/dockerregistry -prune=check")
    assert exit_code == 1
    assert stdout.startswith("Would delete 0 blobs\n")
    warning, start, error = stderr.splitlines()
    assert warning.endswith('msg="Ignoring unrecognized environment variable REGISTRY_HTTP_TLS_MINVERSION"')
    assert 'level=info msg="start prune (dry-run mode)"' in start
    assert error.endswith(
        r'level=error msg="error listing images: images.image.openshift.io is forbidden: User '
        r"\"system:serviceaccount:openshift-image-registry:registry\" cannot list resource \"images\" "
        r'in API group \"image.openshift.io\" at the cluster scope"'
    )


def test_the_procedure_by_hand_leaves_no_orphans(sandbox: Sandbox, api: client.ApiClient) -> None:
    grant(api)
    assert execute(sandbox, api, "/usr/bin/dockerregistry -prune=check")[1].startswith("Would delete 60 blobs\n")
    integrity = "/usr/bin/dockerregistry -experimental -restore-mode=check-database"
    broken = execute(sandbox, api, integrity)[:2]
    exit_code, stdout, _ = execute(sandbox, api, "/usr/bin/dockerregistry -prune=delete")
    assert (exit_code, stdout.splitlines()[0]) == (0, "Deleted 60 blobs")
    assert execute(sandbox, api, integrity)[:2] == broken
    revoke(api)
    report = sandbox.verify()
    assert (list(report.problems), report.orphans_left) == ([], 0)
    modes = [entry["mode"] for entry in sandbox.pruner_journal() if entry["event"] == "start"]
    assert modes == ["check", "delete"]


def test_errors_name_the_storage_as_the_pod_sees_it(sandbox: Sandbox, api: client.ApiClient) -> None:
    grant(api)
    sandbox.order_pruner(PrunerFaults(fail_delete_after_blobs=5))
    exit_code, stdout, stderr = execute(sandbox, api, "/usr/bin/dockerregistry -prune=delete")
    assert (exit_code, stdout.splitlines()[0]) == (1, "Deleted 6 blobs")
    assert "unlinkat /registry/docker/registry/v2/blobs/sha256/" in stderr.splitlines()[-1]
    assert str(sandbox.state.root) not in stderr


def test_the_base_prune_runs_as_a_job_of_the_cron_job(sandbox: Sandbox, api: client.ApiClient) -> None:
    images = len(sandbox.list_objects("images.image.openshift.io"))
    start_base_prune(api, "by-hand")
    assert eventually(lambda: finished(api, "by-hand"), "the Job ends") == "Complete"
    summary = job_log(api, "by-hand").splitlines()[-1]
    assert summary.startswith("Summary: deleted ")
    assert len(sandbox.list_objects("images.image.openshift.io")) < images
    (problem,) = sandbox.verify().problems
    assert problem == "jobs/by-hand: it has ended and was left behind"


def test_a_failing_base_prune_fails_its_job(sandbox: Sandbox, api: client.ApiClient) -> None:
    sandbox.order_pruner(PrunerFaults(modes=("base-prune",), exit_code=1, stderr="error: no luck\n"))
    start_base_prune(api, "by-hand")
    assert eventually(lambda: finished(api, "by-hand"), "the Job ends") == "Failed"
    assert job_log(api, "by-hand").count("error: no luck") == 6
    (problem,) = sandbox.verify().problems
    assert problem.startswith("jobs/by-hand: it failed (")


def test_what_a_run_left_is_found(sandbox: Sandbox, api: client.ApiClient) -> None:
    grant(api)
    objects = client.CustomObjectsApi(api)
    group, version = "imageregistry.operator.openshift.io", "v1"
    lease = {"metadata": {"annotations": {"example.com/lease": "run 7"}}, "spec": {"readOnly": True}}
    objects.patch_cluster_custom_object(group, version, "configs", CLUSTER, lease)
    objects.patch_cluster_custom_object(group, version, "imagepruners", CLUSTER, {"spec": {"suspend": True}})
    sandbox.wait_until_settled()
    problems = sandbox.verify().problems
    expected = (
        f"{CONFIGS}/{CLUSTER}: spec.readOnly is true",
        f"{CONFIGS}/{CLUSTER}: annotation example.com/lease was left behind: run 7",
        "clusterrolebindings/system:image-pruner: system:image-pruner is still granted",
        f"{IMAGE_PRUNERS.partition('.')[0]}/{CLUSTER}: spec was ",
        f"pods/{sandbox.registry_pods()[0]['metadata']['name']}: it is read-only",
    )
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)
