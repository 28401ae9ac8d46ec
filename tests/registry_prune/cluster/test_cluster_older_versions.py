"""Clusters older than the newest API: OpenShift 4.10 is as welcome as 4.20."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from include.registry_prune.cluster.cluster import MYSELF, Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.requests import Request
from include.registry_prune.names import NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.server.faults import FaultRule

ACCOUNT = "system:serviceaccount:registry-prune:registry-prune"
REVIEW = "selfsubjectreviews"


@pytest.mark.parametrize("status", [403, 404])
def test_before_4_15_openshift_itself_says_who_the_account_is(
    sandbox: Sandbox, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Guards the first task: without it no cluster before 4.15 could be pruned."""
    right = cluster._json

    def answer(request: Request) -> dict[str, Any]:
        return {"metadata": {"name": ACCOUNT}} if request.path == MYSELF else right(request)

    assert cluster.who_am_i() == ACCOUNT
    sandbox.api_faults.add(FaultRule(path=REVIEW, status=status))
    monkeypatch.setattr(cluster, "_json", answer)
    assert cluster.who_am_i() == ACCOUNT


def test_an_account_whose_name_nobody_tells_is_let_through(sandbox: Sandbox, cluster: Cluster) -> None:
    sandbox.api_faults.add(FaultRule(path=REVIEW, status=404))
    assert cluster.who_am_i() == "an account whose name the cluster does not tell"


@pytest.mark.parametrize("path", [REVIEW, "users/~"])
def test_credentials_that_are_refused_are_an_error_all_the_same(sandbox: Sandbox, cluster: Cluster, path: str) -> None:
    sandbox.api_faults.add(FaultRule(path=path, status=401))
    sandbox.api_faults.add(FaultRule(path=REVIEW, status=404))
    with pytest.raises(ClusterError) as refused:
        cluster.who_am_i()
    assert refused.value.status == 401


def test_before_4_14_the_pods_of_a_job_are_found_by_the_older_label(
    sandbox: Sandbox, cluster: Cluster, admin: client.ApiClient
) -> None:
    """Guards the base prune's log and the causes of its failures."""
    container = client.V1Container(name="prune", image="cli")
    client.CoreV1Api(admin).create_namespaced_pod(
        NAMESPACE,
        client.V1Pod(
            metadata=client.V1ObjectMeta(name="prune-1", labels={"job-name": "prune"}),
            spec=client.V1PodSpec(containers=[container]),
        ),
    )
    assert [pod["metadata"]["name"] for pod in cluster.pods_of_job("prune")] == ["prune-1"]
