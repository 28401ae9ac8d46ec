"""Deployments of anybody."""

from __future__ import annotations

from sandbox.base.names import NAMESPACE
from sandbox.cluster import Sandbox
from sandbox.controllers.workloads.deployment import template_hash
from tests.sandbox.cluster_tools import Kubectl, eventually, names

DEPLOYMENT_OF_SOMEBODY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: app, command: [sleep, infinity]}]}
"""


def test_any_deployment_rolls_restarts_and_goes(sandbox: Sandbox, kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=DEPLOYMENT_OF_SOMEBODY)
    kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    before = names(sandbox.list_objects("pods", NAMESPACE, "app=app"))
    assert len(before) == 2
    kubectl("rollout", "restart", "deployment/app")
    kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    eventually(
        lambda: (
            len(pods := sandbox.list_objects("pods", NAMESPACE, "app=app")) == 2 and not set(names(pods)) & set(before)
        ),
        "both pods are new ones",
    )
    kubectl("delete", "deployment", "app")
    eventually(lambda: not sandbox.list_objects("pods", NAMESPACE, "app=app"), "its pods are gone")


def test_the_hash_tells_templates_apart_and_is_stable() -> None:
    template = {"spec": {"containers": [{"name": "registry"}]}}
    assert template_hash(template) == template_hash(dict(template))
    assert template_hash(template) != template_hash({"spec": {"containers": []}})
