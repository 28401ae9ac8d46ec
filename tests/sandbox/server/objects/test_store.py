"""The store: versions, generations, conflicts, deletion and its consequences, history."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.server.errors import ApiError
from sandbox.server.objects.store import Store

CONFIGS = "configs.imageregistry.operator.openshift.io"
DEPLOYMENTS = "deployments.apps"


@pytest.fixture
def store() -> Store:
    return Store()


def create_pod(store: Store, name: str, **metadata: Any) -> dict[str, Any]:
    pod = {"metadata": {"name": name, "namespace": "shop", **metadata}, "spec": {"nodeName": "node-0"}}
    return store.create("pods", pod)


def create_deployment(store: Store, name: str = "web") -> dict[str, Any]:
    return store.create(DEPLOYMENTS, {"metadata": {"name": name, "namespace": "shop"}, "spec": {"replicas": 2}})


def owned_by(*owners: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        for owner in owners
    ]


def test_create_fills_in_what_the_server_owns(store: Store) -> None:
    created = create_deployment(store)
    metadata = created["metadata"]
    assert (created["apiVersion"], created["kind"]) == ("apps/v1", "Deployment")
    assert metadata["uid"]
    assert metadata["creationTimestamp"]
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) == store.version()


def test_create_makes_up_a_name_from_generate_name(store: Store) -> None:
    first = store.create("pods", {"metadata": {"generateName": "job-", "namespace": "shop"}})
    second = store.create("pods", {"metadata": {"generateName": "job-", "namespace": "shop"}})
    assert first["metadata"]["name"].startswith("job-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_create_refuses_a_name_that_is_taken(store: Store) -> None:
    create_pod(store, "one")
    with pytest.raises(ApiError, match='pods "one" already exists') as refusal:
        create_pod(store, "one")
    assert (refusal.value.code, refusal.value.reason) == (409, "AlreadyExists")


def test_what_is_handed_out_can_be_changed_without_changing_the_store(store: Store) -> None:
    created = create_deployment(store)
    created["spec"]["replicas"] = 99
    store.get(DEPLOYMENTS, "web", "shop")["spec"]["replicas"] = 98
    store.list(DEPLOYMENTS)[0]["spec"]["replicas"] = 97
    assert store.get(DEPLOYMENTS, "web", "shop")["spec"]["replicas"] == 2


def test_get_of_a_missing_object_says_which(store: Store) -> None:
    with pytest.raises(ApiError) as refusal:
        store.get(CONFIGS, "cluster")
    assert refusal.value.code == 404
    assert refusal.value.message == f'{CONFIGS} "cluster" not found'


def test_generation_rises_with_the_spec_only(store: Store) -> None:
    config = store.create(CONFIGS, {"metadata": {"name": "cluster"}, "spec": {"readOnly": False}})
    config["metadata"]["annotations"] = {"who": "me"}
    config = store.update(CONFIGS, config)
    assert config["metadata"]["generation"] == 1
    config["spec"]["readOnly"] = True
    config = store.update(CONFIGS, config)
    assert config["metadata"]["generation"] == 2
    config["status"] = {"observedGeneration": 2}
    config = store.update(CONFIGS, config, subresource="status")
    assert config["metadata"]["generation"] == 2


def test_generation_of_a_deployment_rises_with_its_annotations_too(store: Store) -> None:
    create_deployment(store)
    annotated = store.modify(DEPLOYMENTS, "web", "shop", lambda value: value["metadata"].update(annotations={"a": "b"}))
    assert annotated["metadata"]["generation"] == 2


def test_an_update_keeps_the_status_and_a_status_update_keeps_the_spec(store: Store) -> None:
    deployment = create_deployment(store)
    deployment = store.update(DEPLOYMENTS, {**deployment, "status": {"replicas": 2}}, subresource="status")
    assert deployment["status"] == {"replicas": 2}
    deployment["status"], deployment["spec"]["replicas"] = {"replicas": 7}, 5
    assert store.update(DEPLOYMENTS, deployment)["status"] == {"replicas": 2}
    deployment = store.get(DEPLOYMENTS, "web", "shop")
    deployment["status"], deployment["spec"]["replicas"] = {"replicas": 5}, 1
    updated = store.update(DEPLOYMENTS, deployment, subresource="status")
    assert (updated["status"], updated["spec"]["replicas"]) == ({"replicas": 5}, 5)


def test_an_update_without_a_difference_is_no_write(store: Store) -> None:
    created = create_deployment(store)
    assert store.update(DEPLOYMENTS, created) == created
    assert store.version() == int(created["metadata"]["resourceVersion"])


def test_an_update_from_a_stale_version_conflicts(store: Store) -> None:
    stale = create_deployment(store)
    store.modify(DEPLOYMENTS, "web", "shop", lambda value: value["spec"].update(replicas=3))
    with pytest.raises(ApiError) as refusal:
        store.update(DEPLOYMENTS, stale)
    assert refusal.value.code == 409
    assert refusal.value.message == (
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_a_dry_run_writes_nothing(store: Store) -> None:
    created = create_deployment(store)
    before = store.version()
    changed = {**created, "spec": {**created["spec"], "replicas": 9}}
    assert store.update(DEPLOYMENTS, changed, dry_run=True)["spec"]["replicas"] == 9
    store.delete(DEPLOYMENTS, "web", "shop", dry_run=True)
    store.create("configmaps", {"metadata": {"name": "x", "namespace": "shop"}}, dry_run=True)
    assert store.version() == before
    assert store.get(DEPLOYMENTS, "web", "shop") == created


def test_a_running_pod_is_only_marked_until_the_kubelet_removes_it(store: Store) -> None:
    create_pod(store, "one")
    marked = store.delete("pods", "one", "shop")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert store.get("pods", "one", "shop")["metadata"]["deletionTimestamp"]
    store.remove("pods", "one", "shop")
    assert store.list("pods") == []


def test_a_second_delete_can_shorten_the_grace_but_not_lengthen_it(store: Store) -> None:
    create_pod(store, "one")
    store.delete("pods", "one", "shop", grace_seconds=20)
    assert store.delete("pods", "one", "shop", grace_seconds=40)["metadata"]["deletionGracePeriodSeconds"] == 20
    assert store.delete("pods", "one", "shop", grace_seconds=5)["metadata"]["deletionGracePeriodSeconds"] == 5


@pytest.mark.parametrize(
    ("changes", "grace_seconds"),
    [({}, 0), ({"status": {"phase": "Succeeded"}}, None), ({"spec": {}}, None)],
    ids=["forced", "finished", "not scheduled"],
)
def test_a_pod_that_has_nothing_to_end_goes_at_once(
    store: Store, changes: dict[str, Any], grace_seconds: int | None
) -> None:
    pod = {"metadata": {"name": "one", "namespace": "shop"}, "spec": {"nodeName": "node-0"}}
    store.create("pods", {**pod, **changes})
    store.delete("pods", "one", "shop", grace_seconds=grace_seconds)
    assert store.list("pods") == []


def test_dependents_go_with_their_last_owner(store: Store) -> None:
    one, two = create_deployment(store, "one"), create_deployment(store, "two")
    for name, owners in (("shared", [one, two]), ("single", [one])):
        metadata = {"name": name, "namespace": "shop", "ownerReferences": owned_by(*owners)}
        store.create("replicasets.apps", {"metadata": metadata})
    store.delete(DEPLOYMENTS, "one", "shop")
    assert [value["metadata"]["name"] for value in store.list("replicasets.apps")] == ["shared"]
    store.delete(DEPLOYMENTS, "two", "shop")
    assert store.list("replicasets.apps") == []


def test_orphaned_dependents_stay_without_the_reference(store: Store) -> None:
    owner = create_deployment(store)
    create_pod(store, "one", ownerReferences=owned_by(owner))
    store.delete(DEPLOYMENTS, "web", "shop", propagation="Orphan")
    pod = store.get("pods", "one", "shop")
    assert not pod["metadata"].get("ownerReferences")
    assert "deletionTimestamp" not in pod["metadata"]


def test_foreground_deletion_waits_for_the_dependents(store: Store) -> None:
    owner = create_deployment(store)
    create_pod(store, "one", ownerReferences=owned_by(owner))
    waiting = store.delete(DEPLOYMENTS, "web", "shop", propagation="Foreground")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert store.get("pods", "one", "shop")["metadata"]["deletionTimestamp"]
    store.remove("pods", "one", "shop")
    assert store.find(DEPLOYMENTS, "web", "shop") is None


def test_a_finalizer_keeps_an_object_until_it_is_taken_away(store: Store) -> None:
    store.create("configmaps", {"metadata": {"name": "x", "namespace": "shop", "finalizers": ["a/b"]}})
    store.delete("configmaps", "x", "shop")
    assert store.get("configmaps", "x", "shop")["metadata"]["deletionTimestamp"]
    store.modify("configmaps", "x", "shop", lambda value: value["metadata"].update(finalizers=[]))
    assert store.find("configmaps", "x", "shop") is None


def test_a_namespace_takes_its_content_along(store: Store) -> None:
    store.create("namespaces", {"metadata": {"name": "shop"}})
    create_deployment(store)
    create_pod(store, "one")
    store.delete("namespaces", "shop")
    assert store.list("pods") == store.list(DEPLOYMENTS) == []


def test_lists_are_ordered_and_selected(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        store.create("configmaps", {"metadata": {"name": name, "namespace": namespace, "labels": {"n": name}}})

    def names(**selection: Any) -> list[str]:
        return [value["metadata"]["name"] for value in store.list("configmaps", **selection)]

    assert names() == ["y", "z", "x"]
    assert names(namespace="a") == ["y", "z"]
    assert names(labels="n in (x,z)") == ["z", "x"]
    assert names(fields="metadata.name=y") == ["y"]


async def test_a_subscription_sees_every_change_from_then_on(store: Store) -> None:
    create_pod(store, "before")
    subscription, everything = store.subscribe("pods"), store.subscribe()
    create_pod(store, "after")
    create_deployment(store)
    store.modify("pods", "after", "shop", lambda value: value["metadata"].update(labels={"a": "b"}))
    store.remove("pods", "after", "shop")
    subscription.close()
    seen = []
    async with asyncio.timeout(5):
        for kind in ("ADDED", "ADDED", "MODIFIED", "DELETED"):
            event = await anext(everything)
            assert event.type == kind
            seen.append(event.resource)
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)
    assert seen == ["pods", DEPLOYMENTS, "pods", "pods"]


async def test_a_closed_subscription_ends_its_iteration(store: Store) -> None:
    subscription = store.subscribe("pods")

    async def consume() -> int:
        return len([event async for event in subscription])

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    subscription.close()
    assert await asyncio.wait_for(consumer, 5) == 0


def test_changes_can_be_read_back_until_they_are_forgotten() -> None:
    store = Store(history_limit=2)
    versions = [int(create_pod(store, name)["metadata"]["resourceVersion"]) for name in "abc"]
    since = store.changes_since("pods", versions[1])
    assert [change.record.object["metadata"]["name"] for change in since] == ["c"]
    assert len(store.changes_since("pods", versions[0])) == 2
    with pytest.raises(ApiError, match="too old resource version") as refusal:
        store.changes_since("pods", 1)
    assert (refusal.value.code, refusal.value.reason) == (410, "Expired")
    store.expire_history("pods")
    with pytest.raises(ApiError, match="too old resource version"):
        store.changes_since("pods", versions[1])
    assert store.changes_since("pods", versions[2]) == []


def test_a_field_of_the_wrong_type_is_invalid(store: Store) -> None:
    store.create(CONFIGS, {"metadata": {"name": "cluster"}, "spec": {"readOnly": False}})
    with pytest.raises(ApiError) as refusal:
        store.modify(CONFIGS, "cluster", None, lambda value: value["spec"].update(readOnly="yes"))
    assert (refusal.value.code, refusal.value.reason) == (422, "Invalid")
    assert store.get(CONFIGS, "cluster")["spec"]["readOnly"] is False


def test_a_binding_cannot_change_its_role(store: Store) -> None:
    bindings = "clusterrolebindings.rbac.authorization.k8s.io"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "one"}
    store.create(bindings, {"metadata": {"name": "b"}, "roleRef": role})
    with pytest.raises(ApiError, match="cannot change roleRef"):
        store.modify(bindings, "b", None, lambda value: value["roleRef"].update(name="two"))
