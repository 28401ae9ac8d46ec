"""The watch protocol."""

from __future__ import annotations

import threading

import pytest

from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.registry_objects import REGISTRY
from tests.sandbox.server.running_server import Server

PODS = f"/api/v1/namespaces/{REGISTRY}/pods"
pytestmark = pytest.mark.usefixtures("registry")


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
