"""What clients other than kubectl rely on: watch protocol, discovery, media types."""

from __future__ import annotations

import json
import threading

import pytest
from http_client import HttpClient
from registry_objects import REGISTRY
from running_server import Server

PODS = f"/api/v1/namespaces/{REGISTRY}/pods"
pytestmark = pytest.mark.usefixtures("registry")
CONFIG = "/apis/imageregistry.operator.openshift.io/v1/configs/cluster"


def test_a_watch_without_a_version_begins_with_what_there_is(http: HttpClient) -> None:
    events = list(http.watch(PODS, timeoutSeconds="1"))
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "image-registry-a"),
        ("ADDED", "image-registry-b"),
    ]
    assert {event["object"]["kind"] for event in events} == {"Pod"}


def test_a_streamed_list_ends_with_a_bookmark(http: HttpClient, registry: Server) -> None:
    events = http.watch(PODS, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true")
    assert [next(events)["type"] for _ in range(2)] == ["ADDED", "ADDED"]
    bookmark = next(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["metadata"]["resourceVersion"] == str(registry.call(registry.store.version))


def test_a_watch_from_too_long_ago_is_an_error_event(http: HttpClient, registry: Server) -> None:
    registry.call(registry.store.expire_history, "pods")
    events = list(http.watch(PODS, resourceVersion="2"))
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")


def test_a_watch_of_one_namespace_sees_no_other(http: HttpClient, registry: Server) -> None:
    version = str(registry.call(registry.store.version))
    for namespace in ("default", REGISTRY):
        metadata = {"name": "x", "namespace": namespace}
        registry.call(registry.store.create, "configmaps", {"metadata": metadata})
    path = f"/api/v1/namespaces/{REGISTRY}/configmaps"
    events = list(http.watch(path, resourceVersion=version, timeoutSeconds="1"))
    assert [event["object"]["metadata"]["namespace"] for event in events] == [REGISTRY]


def test_watches_end_when_the_server_stops(http: HttpClient, registry: Server) -> None:
    ended = threading.Event()

    def consume() -> None:
        for _ in http.watch(PODS):
            pass
        ended.set()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    registry.wait_for_requests(verb="watch", resource="pods")
    registry.shut_down()
    assert ended.wait(timeout=20)
    consumer.join(timeout=20)


def test_discovery_in_both_forms(http: HttpClient) -> None:
    groups = {group["name"] for group in http.get("/apis").json()["groups"]}
    assert {"apps", "image.openshift.io", "imageregistry.operator.openshift.io"} <= groups
    assert http.get("/api").json()["versions"] == ["v1"]
    listed = {entry["name"]: entry for entry in http.get("/apis/apps/v1").json()["resources"]}
    assert listed["deployments/scale"]["kind"] == "Scale"
    assert listed["deployments"]["verbs"]
    assert http.get("/apis/apps").json()["preferredVersion"]["groupVersion"] == "apps/v1"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = http.get("/apis", headers={"Accept": accept})
    assert aggregated.headers["Content-Type"].endswith("as=APIGroupDiscoveryList")
    assert aggregated.json()["kind"] == "APIGroupDiscoveryList"
    assert http.get("/apis/nosuch.io/v1").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apis/apps/v1/nosuch", 404),
        ("GET", "/nosuch", 404),
        ("POST", PODS + "/image-registry-a", 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 405),
        ("GET", CONFIG + "/scale", 404),
        ("PUT", PODS, 405),
        ("POST", "/api/v1/pods", 405),
    ],
)
def test_what_is_not_served(http: HttpClient, method: str, path: str, status: int) -> None:
    answer = http.request(method, path, json={})
    assert (answer.status_code, answer.json()["kind"], answer.json()["code"]) == (status, "Status", status)


def test_media_types(http: HttpClient) -> None:
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    partial = http.get(CONFIG, headers={"Accept": accept}).json()
    assert (partial["kind"], "spec" in partial) == ("PartialObjectMetadata", False)
    assert http.get(CONFIG, headers={"Accept": "application/cbor"}).status_code == 406
    refused = http.request("POST", PODS, data=b"x", headers={"Content-Type": "application/cbor"})
    assert (refused.status_code, refused.json()["reason"]) == (415, "UnsupportedMediaType")
    for body in (b"{", b"[]", b'"a"', b'{"metadata": []}'):
        assert http.request("POST", PODS, data=body, headers={"Content-Type": "application/json"}).status_code == 400


@pytest.mark.parametrize(
    "query",
    [{"limit": "-1"}, {"continue": "???"}, {"labelSelector": "a in b"}, {"fieldSelector": "spec.x=1"}],
    ids=lambda query: next(iter(query)),
)
def test_parameters_that_cannot_be_read_are_refused(http: HttpClient, query: dict[str, str]) -> None:
    assert http.get(PODS, params=query).status_code == 400


def test_a_json_patch_whose_test_fails_changes_nothing(http: HttpClient, registry: Server) -> None:
    patch = [
        {"op": "test", "path": "/spec/readOnly", "value": True},
        {"op": "replace", "path": "/spec/readOnly", "value": False},
    ]
    before = registry.call(registry.store.version)
    answer = http.request(
        "PATCH", CONFIG, data=json.dumps(patch), headers={"Content-Type": "application/json-patch+json"}
    )
    assert answer.status_code == 422
    assert registry.call(registry.store.version) == before


def test_a_whole_object_goes_through_unchanged(http: HttpClient) -> None:
    image = {
        "kind": "Image",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "sha256:ab", "creationTimestamp": "2020-01-01T00:00:00Z"},
        "dockerImageReference": "registry/shop/wéb@sha256:ab",
        "dockerImageLayers": [{"name": "sha256:cd", "size": 2**40}],
    }
    created = http.request("POST", "/apis/image.openshift.io/v1/images", json=image)
    assert created.status_code == 201
    read = http.get("/apis/image.openshift.io/v1/images/sha256:ab").json()
    assert read == created.json()
    assert read["metadata"]["creationTimestamp"] == "2020-01-01T00:00:00Z"
    assert {key: read[key] for key in image if key != "metadata"} == {
        key: value for key, value in image.items() if key != "metadata"
    }
