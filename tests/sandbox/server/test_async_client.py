"""The ``kubernetes_asyncio`` client takes the server for a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.stream import WsApiClient

from tests.sandbox.server.registry_objects import REGISTRY
from tests.sandbox.server.running_server import Server

GROUP, VERSION = "imageregistry.operator.openshift.io", "v1"


@pytest.fixture
async def api(registry: Server) -> AsyncIterator[client.ApiClient]:
    async with await config.new_client_from_config(str(registry.admin_kubeconfig)) as api_client:
        yield api_client


async def test_create_get_list_delete(api: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(api)
    for name in ("a", "b", "c"):
        await core.create_namespaced_config_map(REGISTRY, {"metadata": {"name": name}})
    first = await core.list_namespaced_config_map(REGISTRY, limit=2)
    second = await core.list_namespaced_config_map(REGISTRY, limit=2, _continue=first.metadata._continue)
    assert [item.metadata.name for page in (first, second) for item in page.items] == ["a", "b", "c"]
    await core.delete_namespaced_config_map("a", REGISTRY)
    with pytest.raises(ApiException) as refusal:
        await core.read_namespaced_config_map("a", REGISTRY)
    assert refusal.value.status == 404


async def test_a_merge_patch_and_a_conflict(api: client.ApiClient) -> None:
    custom = client.CustomObjectsApi(api)
    place = (GROUP, VERSION, "configs", "cluster")
    before = await custom.get_cluster_custom_object(*place)
    patch = {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "spec": {"readOnly": True}}
    merge: dict[str, Any] = {"_content_type": "application/merge-patch+json"}
    assert (await custom.patch_cluster_custom_object(*place, patch, **merge))["spec"]["readOnly"] is True
    with pytest.raises(ApiException) as refusal:
        await custom.patch_cluster_custom_object(*place, patch, **merge)
    assert refusal.value.status == 409


async def test_a_watch_sees_changes_as_they_come(api: client.ApiClient, registry: Server) -> None:
    custom = client.CustomObjectsApi(api)
    listed = await custom.list_cluster_custom_object(GROUP, VERSION, "configs")
    version = listed["metadata"]["resourceVersion"]
    seen: list[tuple[str, bool]] = []
    async with asyncio.timeout(30), watch.Watch() as watching:
        events = watching.stream(custom.list_cluster_custom_object, GROUP, VERSION, "configs", resource_version=version)
        task = asyncio.create_task(anext(events))
        patch = {"spec": {"readOnly": True}}
        merge: dict[str, Any] = {"_content_type": "application/merge-patch+json"}
        await custom.patch_cluster_custom_object(GROUP, VERSION, "configs", "cluster", patch, **merge)
        event = await task
        seen.append((event["type"], event["object"]["spec"]["readOnly"]))
    assert seen == [("MODIFIED", True)]


async def test_a_watch_from_too_long_ago_gets_410(api: client.ApiClient, registry: Server) -> None:
    registry.call(registry.store.expire_history, "pods")
    core = client.CoreV1Api(api)
    async with asyncio.timeout(30), watch.Watch() as watching:
        events = watching.stream(core.list_namespaced_pod, REGISTRY, resource_version="2")
        with pytest.raises(ApiException) as refusal:
            await anext(events)
    assert refusal.value.status == 410


async def test_exec(registry: Server) -> None:
    configuration = client.Configuration()
    await config.load_kube_config(str(registry.admin_kubeconfig), client_configuration=configuration)
    async with WsApiClient(configuration=configuration) as websocket:
        core: Any = client.CoreV1Api(websocket)
        answer = await core.connect_get_namespaced_pod_exec(
            "image-registry-a", REGISTRY, command=["echo", "hello"], stdout=True, stderr=True
        )
    assert answer == "registry: echo hello\n"
