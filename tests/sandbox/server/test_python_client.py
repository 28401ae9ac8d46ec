"""The ``kubernetes`` client takes the server for a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.sandbox.server.registry_objects import REGISTRY
from tests.sandbox.server.running_server import Server

GROUP, VERSION = "imageregistry.operator.openshift.io", "v1"


@pytest.fixture
def api(registry: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(registry.admin_kubeconfig)) as api_client:
        yield api_client
        api_client.rest_client.pool_manager.clear()


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def custom(api: client.ApiClient) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(api)


def config_map(name: str, **labels: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data={"n": name})


def test_get_and_list(core: client.CoreV1Api, custom: client.CustomObjectsApi) -> None:
    assert core.read_namespaced_pod("image-registry-a", REGISTRY).status.phase == "Running"
    listed = core.list_namespaced_pod(REGISTRY, label_selector="docker-registry=default")
    assert [pod.metadata.name for pod in listed.items] == ["image-registry-a", "image-registry-b"]
    assert listed.kind == "PodList"
    assert [pod.kind for pod in listed.items] == [None, None]
    configs = custom.list_cluster_custom_object(GROUP, VERSION, "configs")
    assert [item["kind"] for item in configs["items"]] == ["Config"]


def test_the_pages_of_a_list_show_its_first_moment(core: client.CoreV1Api) -> None:
    for number in range(5):
        core.create_namespaced_config_map(REGISTRY, config_map(f"m{number}"))
    first = core.list_namespaced_config_map(REGISTRY, limit=2)
    assert first.metadata.remaining_item_count == 3
    core.delete_namespaced_config_map("m4", REGISTRY)
    core.create_namespaced_config_map(REGISTRY, config_map("m9"))
    second = core.list_namespaced_config_map(REGISTRY, limit=2, _continue=first.metadata._continue)
    third = core.list_namespaced_config_map(REGISTRY, limit=2, _continue=second.metadata._continue)
    names = [item.metadata.name for page in (first, second, third) for item in page.items]
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert third.metadata._continue is None
    assert third.metadata.resource_version == first.metadata.resource_version


def test_a_continue_token_that_is_too_old_gets_410(core: client.CoreV1Api, registry: Server) -> None:
    token = core.list_namespaced_pod(REGISTRY, limit=1).metadata._continue
    registry.call(registry.pager.expire)
    with pytest.raises(ApiException) as refusal:
        core.list_namespaced_pod(REGISTRY, limit=1, _continue=token)
    assert (refusal.value.status, refusal.value.reason) == (410, "Gone")


def test_a_watch_goes_on_where_the_list_ended(core: client.CoreV1Api) -> None:
    listed = core.list_namespaced_config_map(REGISTRY)
    core.create_namespaced_config_map(REGISTRY, config_map("one"))
    core.patch_namespaced_config_map("one", REGISTRY, {"data": {"n": "2"}})
    core.delete_namespaced_config_map("one", REGISTRY)
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        REGISTRY,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=2,
    )
    seen = [(event["type"], event["object"].data["n"]) for event in events]
    assert seen == [("ADDED", "one"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_a_watch_with_a_selector_sees_objects_come_and_go(core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map(REGISTRY, config_map("one"))
    version = core.list_namespaced_config_map(REGISTRY).metadata.resource_version
    for labels in ({"chosen": "yes"}, {"chosen": "yes", "more": "x"}, {"chosen": None}):
        core.patch_namespaced_config_map("one", REGISTRY, {"metadata": {"labels": labels}})
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        REGISTRY,
        label_selector="chosen=yes",
        resource_version=version,
        timeout_seconds=2,
    )
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]


def test_a_watch_from_too_long_ago_gets_410(core: client.CoreV1Api, registry: Server) -> None:
    registry.call(registry.store.expire_history, "pods")
    events = watch.Watch().stream(core.list_namespaced_pod, REGISTRY, resource_version="2", timeout_seconds=5)
    with pytest.raises(ApiException) as refusal:
        next(events)
    assert refusal.value.status == 410
    assert "too old resource version: 2" in str(refusal.value.reason)


def test_create_refuses_a_missing_namespace_and_a_taken_name(core: client.CoreV1Api) -> None:
    with pytest.raises(ApiException) as refusal:
        core.create_namespaced_config_map("nosuch", config_map("one"))
    assert (refusal.value.status, 'namespaces \\"nosuch\\" not found' in refusal.value.body) == (404, True)
    core.create_namespaced_config_map(REGISTRY, config_map("one"))
    with pytest.raises(ApiException) as refusal:
        core.create_namespaced_config_map(REGISTRY, config_map("one"))
    assert refusal.value.status == 409


def test_a_merge_patch_with_a_resource_version_is_conditional(custom: client.CustomObjectsApi) -> None:
    before = custom.get_cluster_custom_object(GROUP, VERSION, "configs", "cluster")
    version = before["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "spec": {"readOnly": True}}
    after = custom.patch_cluster_custom_object(GROUP, VERSION, "configs", "cluster", patch)
    assert (after["spec"]["readOnly"], after["metadata"]["generation"]) == (True, 2)
    with pytest.raises(ApiException) as refusal:
        custom.patch_cluster_custom_object(GROUP, VERSION, "configs", "cluster", patch)
    assert refusal.value.status == 409
    assert "the object has been modified; please apply your changes to the latest version" in refusal.value.body


def test_a_replace_from_a_stale_version_conflicts(custom: client.CustomObjectsApi) -> None:
    stale = custom.get_cluster_custom_object(GROUP, VERSION, "configs", "cluster")
    patch = {"spec": {"readOnly": True}}
    custom.patch_cluster_custom_object(GROUP, VERSION, "configs", "cluster", patch)
    with pytest.raises(ApiException) as refusal:
        custom.replace_cluster_custom_object(GROUP, VERSION, "configs", "cluster", stale)
    assert refusal.value.status == 409
    del stale["metadata"]["resourceVersion"]
    with pytest.raises(ApiException) as refusal:
        custom.replace_cluster_custom_object(GROUP, VERSION, "configs", "cluster", stale)
    assert (refusal.value.status, "must be specified for an update" in refusal.value.body) == (422, True)


def test_status_is_written_apart_from_the_spec(custom: client.CustomObjectsApi) -> None:
    patch: dict[str, Any] = {"spec": {"readOnly": True}, "status": {"observedGeneration": 7}}
    patched = custom.patch_cluster_custom_object(GROUP, VERSION, "configs", "cluster", patch)
    assert (patched["spec"]["readOnly"], patched["status"]["observedGeneration"]) == (True, 1)
    patch["spec"]["readOnly"] = False
    patched = custom.patch_cluster_custom_object_status(GROUP, VERSION, "configs", "cluster", patch)
    assert (patched["spec"]["readOnly"], patched["status"]["observedGeneration"]) == (True, 7)


def test_delete_with_grace_and_preconditions(core: client.CoreV1Api, registry: Server) -> None:
    with pytest.raises(ApiException) as refusal:
        core.delete_namespaced_pod(
            "image-registry-a", REGISTRY, body=client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="x"))
        )
    assert refusal.value.status == 409
    pod = core.delete_namespaced_pod("image-registry-a", REGISTRY, grace_period_seconds=5)
    assert pod.metadata.deletion_grace_period_seconds == 5
    core.delete_namespaced_pod("image-registry-a", REGISTRY, grace_period_seconds=0)
    assert registry.call(registry.store.find, "pods", "image-registry-a", REGISTRY) is None


def test_delete_of_a_collection_takes_what_is_selected(core: client.CoreV1Api) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        core.create_namespaced_config_map(REGISTRY, config_map(name, color=color))
    core.delete_collection_namespaced_config_map(REGISTRY, label_selector="color=red")
    assert [item.metadata.name for item in core.list_namespaced_config_map(REGISTRY).items] == ["b"]


def test_an_eviction_deletes_the_pod(core: client.CoreV1Api, registry: Server) -> None:
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="image-registry-a", namespace=REGISTRY))
    core.create_namespaced_pod_eviction("image-registry-a", REGISTRY, eviction)
    pod = registry.call(registry.store.get, "pods", "image-registry-a", REGISTRY)
    assert pod["metadata"]["deletionTimestamp"]


def test_exec_reads_output_and_exit_status(core: client.CoreV1Api) -> None:
    arguments = {"command": ["echo", "hello"], "stdout": True, "stderr": True, "_preload_content": False}
    session = stream(core.connect_get_namespaced_pod_exec, "image-registry-a", REGISTRY, **arguments)
    session.run_forever(timeout=10)
    assert session.read_stdout() == "registry: echo hello\n"
    assert session.returncode == 0


def test_an_unknown_token_is_unauthorized(registry: Server) -> None:
    kubeconfig = registry.kubeconfig("stranger", "nonsense")
    with config.new_client_from_config(str(kubeconfig)) as api_client, pytest.raises(ApiException) as refusal:
        client.CoreV1Api(api_client).list_namespaced_pod(REGISTRY)
    api_client.rest_client.pool_manager.clear()
    assert refusal.value.status == 401
    assert '"message":"Unauthorized"' in refusal.value.body
