"""Discovery."""

from __future__ import annotations

import pytest

from tests.sandbox.server.http_client import HttpClient

pytestmark = pytest.mark.usefixtures("registry")


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
