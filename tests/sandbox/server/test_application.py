"""What is served and what is refused: paths, media types, parameters."""

from __future__ import annotations

import json

import pytest

from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.registry_objects import REGISTRY
from tests.sandbox.server.running_server import Server

PODS = f"/api/v1/namespaces/{REGISTRY}/pods"
pytestmark = pytest.mark.usefixtures("registry")
CONFIG = "/apis/imageregistry.operator.openshift.io/v1/configs/cluster"


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
