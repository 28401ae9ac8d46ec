"""Faults that are ordered, and requests that are counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from sandbox.server.faults import ApiFaults, FaultRequest, FaultRule
from tests.sandbox.server.http_client import HttpClient
from tests.sandbox.server.registry_objects import CONFIGS, REGISTRY
from tests.sandbox.server.running_server import Server

PODS = f"/api/v1/namespaces/{REGISTRY}/pods"
CONFIG = "/apis/imageregistry.operator.openshift.io/v1/configs/cluster"


def patch_read_only(http: HttpClient) -> requests.Response:
    return http.merge_patch(CONFIG, {"spec": {"readOnly": True}})


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (409, "Conflict"),
        (410, "Expired"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_a_status_comes_instead_of_the_answer_as_often_as_ordered(
    registry: Server, http: HttpClient, status: int, reason: str
) -> None:
    registry.faults.add(FaultRule(resource="configs", status=status, remaining=1))
    refused = patch_read_only(http)
    assert (refused.status_code, refused.json()["reason"], refused.json()["code"]) == (status, reason, status)
    assert registry.call(registry.store.get, CONFIGS, "cluster")["spec"]["readOnly"] is False
    assert patch_read_only(http).status_code == 200


def test_too_many_requests_says_when_to_come_again(registry: Server, http: HttpClient) -> None:
    registry.faults.add(FaultRule(status=429, retry_after_seconds=7))
    answer = http.get(PODS)
    assert answer.headers["Retry-After"] == "7"
    assert answer.json()["details"] == {"retryAfterSeconds": 7}


def test_a_dropped_request_is_carried_out_or_not_as_ordered(registry: Server, http: HttpClient) -> None:
    registry.faults.add(FaultRule(verb="patch", drop_before=True, remaining=1))
    registry.faults.add(FaultRule(verb="patch", drop_after=True, remaining=1))
    with pytest.raises(requests.ConnectionError):
        patch_read_only(http)
    assert registry.call(registry.store.get, CONFIGS, "cluster")["spec"]["readOnly"] is False
    with pytest.raises(requests.ConnectionError):
        patch_read_only(http)
    assert registry.call(registry.store.get, CONFIGS, "cluster")["spec"]["readOnly"] is True
    assert registry.counts.total(verb="patch", resource="configs", status=0) == 2


def test_a_patch_is_chosen_by_what_it_sends(registry: Server, http: HttpClient) -> None:
    registry.faults.add(FaultRule(verb="patch", body='"readOnly": ?true', status=503, remaining=1))
    assert http.merge_patch(CONFIG, {"metadata": {"annotations": {"of": "somebody"}}}).status_code == 200
    assert patch_read_only(http).status_code == 503
    assert patch_read_only(http).status_code == 200


def test_latency_delays_the_answer(registry: Server, http: HttpClient) -> None:
    registry.faults.add(FaultRule(path="/pods$", delay_before_seconds=0.2, delay_after_seconds=0.2))
    assert http.get(PODS).elapsed.total_seconds() >= 0.4


def test_a_watch_is_cut_after_so_many_events(registry: Server, http: HttpClient) -> None:
    registry.faults.add(FaultRule(verb="watch", cut_watch_after_events=1))
    answer = http.get(PODS, params={"watch": "1"}, stream=True)
    lines = answer.iter_lines()
    assert json.loads(next(lines))["object"]["metadata"]["name"] == "image-registry-a"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        next(lines)


def test_faults_and_counts_over_http(registry: Server, http: HttpClient) -> None:
    faults = "/sandbox/faults"
    added = http.post(faults, json={"verb": "list", "resource": "pods", "status": 503, "remaining": 2})
    assert (added.status_code, added.json()) == (201, {"id": 1})
    assert http.get(PODS).status_code == 503
    listed = http.get(faults).json()["faults"]
    assert (listed[0]["id"], listed[0]["remaining"], listed[0]["status"]) == (1, 1, 503)
    assert http.delete(faults, params={"id": "1"}).json() == {"faults": []}
    assert http.delete(faults, params={"id": "1"}).status_code == 404
    assert http.get(PODS).status_code == 200
    counted = http.get("/sandbox/requests").json()["requests"]
    expected = [
        {"user": "admin", "verb": "list", "resource": "pods", "status": status, "count": 1} for status in (200, 503)
    ]
    assert [entry for entry in counted if entry["resource"] == "pods"] == expected


@pytest.mark.parametrize(
    "fault", [{"stauts": 500}, {"probability": 2}, {"path": "("}, ["a list"]], ids=["unknown", "value", "regex", "list"]
)
def test_what_is_no_fault_is_refused(registry: Server, http: HttpClient, fault: Any) -> None:
    answer = http.post("/sandbox/faults", json=fault)
    assert answer.status_code == 400
    assert registry.faults.listed() == []


def test_faults_are_for_cluster_admins(registry: Server) -> None:
    with HttpClient(registry, registry.authenticator.issue("alice")) as alice:
        assert alice.post("/sandbox/faults", json={"status": 500}).status_code == 403


REQUEST = FaultRequest("GET", "/api/v1/pods?limit=5", "alice", "list", "pods")


@pytest.mark.parametrize(
    ("rule", "meets"),
    [
        (FaultRule(), True),
        (FaultRule(method="GET", path="^/api/v1/pods", user="alice", verb="list", resource="pods"), True),
        (FaultRule(path="limit=5"), True),
        (FaultRule(method="POST"), False),
        (FaultRule(user="bob"), False),
        (FaultRule(verb="watch"), False),
        (FaultRule(resource="pods/exec"), False),
        (FaultRule(path="^/apis"), False),
    ],
)
def test_which_requests_a_rule_means(rule: FaultRule, meets: bool) -> None:
    assert rule.matches(REQUEST) is meets


def test_chance_is_the_same_for_the_same_seed() -> None:
    def played(seed: int) -> list[bool]:
        faults = ApiFaults(seed)
        faults.add(FaultRule(probability=0.5, status=500))
        return [faults.take(REQUEST) is not None for _ in range(50)]

    assert played(1) == played(1) != played(2)
    assert 5 < sum(played(1)) < 45
