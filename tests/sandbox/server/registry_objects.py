"""The objects of a registry as its operator leaves it."""

from __future__ import annotations

from typing import Any

from sandbox.server.objects.store import Store

REGISTRY = "openshift-image-registry"
CONFIGS = "configs.imageregistry.operator.openshift.io"


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "lastTransitionTime": "2026-11-23T17:50:00Z",
        "message": reason,
    }


def registry_pod(name: str, state: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    running = "running" in state
    return {
        "metadata": {
            "name": name,
            "namespace": REGISTRY,
            "labels": {"docker-registry": "default"},
            **metadata,
        },
        "spec": {
            "nodeName": "node-0",
            "serviceAccountName": "registry",
            "containers": [{"name": "registry", "image": "registry:1"}],
        },
        "status": {
            "phase": "Running" if running else "Pending",
            "conditions": [condition("Ready", str(running), "ContainersReady")],
            "containerStatuses": [
                {
                    "name": "registry",
                    "image": "registry:1",
                    "imageID": "",
                    "ready": running,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        },
    }


def fill(store: Store) -> None:
    """A registry as its operator leaves it: Config, Deployment, a running pod and one that has not started."""
    store.create("namespaces", {"metadata": {"name": REGISTRY}})
    store.create("nodes", {"metadata": {"name": "node-0"}})
    store.create("serviceaccounts", {"metadata": {"name": "registry", "namespace": REGISTRY}})
    store.create(
        CONFIGS,
        {
            "metadata": {"name": "cluster"},
            "spec": {"managementState": "Managed", "readOnly": False, "replicas": 1},
            "status": {
                "observedGeneration": 1,
                "conditions": [
                    condition("Available", "True", "Ready"),
                    condition("Progressing", "False", "Ready"),
                ],
            },
        },
    )
    labels = {"docker-registry": "default"}
    pod = registry_pod("image-registry-a", {"running": {"startedAt": "2026-11-23T17:50:00Z"}})
    store.create(
        "deployments.apps",
        {
            "metadata": {"name": "image-registry", "namespace": REGISTRY},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 1,
                "updatedReplicas": 1,
                "readyReplicas": 1,
                "availableReplicas": 1,
                "conditions": [condition("Available", "True", "MinimumReplicasAvailable")],
            },
        },
    )
    store.create("pods", pod)
    store.create("pods", registry_pod("image-registry-b", {"waiting": {"reason": "ImagePullBackOff"}}))
