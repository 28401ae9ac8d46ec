"""The pod of the exact delete, made from the registry's own pod template (pure)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from include.registry_prune.exact_delete.events import SEAL_VARIABLE, WORK_FOLDER
from include.registry_prune.lists.candidate_list import Seal
from include.registry_prune.names import (
    EXACT_DELETE_GRACE_SECONDS,
    EXACT_DELETE_LABEL,
    EXACT_DELETE_POD,
    IMAGE_PRUNER_APP,
    MANAGED_BY,
    NAMESPACE,
    REGISTRY_CONTAINER,
    WINDOW_ANNOTATION,
)

PROGRAM = ("python3", "-m", "include.registry_prune.exact_delete")
WORK_FOLDER_OPTION = (f"--work-folder={WORK_FOLDER}",)
_WORK_VOLUME = "registry-prune"
_NOT_OF_THE_POD = ("affinity", "topologySpreadConstraints", "nodeName")
"""Of the template: for pods that serve."""
_NOT_OF_THE_CONTAINER = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "args", "workingDir")
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
"""With a list of 20,000 the process stays below its limit (a test); with a million it was not measured to its end."""


def exact_delete_pod(
    deployment: Mapping[str, Any],
    *,
    image: str,
    purpose: str,
    window: str,
    kept_as: str,
    seal: Seal | None,
    deadline_seconds: float,
    list_seconds: float,
    nodes: Sequence[str] = (),
) -> dict[str, Any]:
    """The pod: environment, volumes, service account, tolerations, priority and authorities are the template's.

    The label is the image pruner's, so that from 4.22 on the namespace's network policies let it reach the storage; the
    registry's labels are not on it, so that no Service finds it.

    :param deployment: the registry's Deployment, as JSON.
    :param image: the small image.
    :param purpose: ``delete``, ``undo``, ``remove`` or ``look``.
    :param window: token of the window; of an undo, of the window whose delete it undoes.
    :param kept_as: folder of what is kept; empty: nothing is to be kept.
    :param seal: of the list that will be handed over; None where there is none.
    :param deadline_seconds: Kubernetes ends it after this time, whoever watches it.
    :param list_seconds: how long it waits for its list.
    :param nodes: it has to be on one of these; empty: on any. See :func:`nodes_for`.
    """
    template = copy.deepcopy(deployment["spec"]["template"])
    spec = {name: value for name, value in template["spec"].items() if name not in _NOT_OF_THE_POD}
    container = _container(template["spec"]["containers"])
    arguments = [
        purpose,
        *WORK_FOLDER_OPTION,
        f"--list-wait={list_seconds:.0f}",
        *([f"--kept-as={kept_as}"] if kept_as else []),
    ]
    container |= {"image": image, "imagePullPolicy": "IfNotPresent", "command": [*PROGRAM, *arguments]}
    container["resources"] = copy.deepcopy(_RESOURCES)
    container["env"] = [
        *(container.get("env") or []),
        {"name": "HOME", "value": WORK_FOLDER},
        *([{"name": SEAL_VARIABLE, "value": seal.model_dump_json()}] if seal is not None else []),
    ]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _WORK_VOLUME, "mountPath": WORK_FOLDER},
    ]
    spec |= {
        "containers": [container],
        "volumes": [*(spec.get("volumes") or []), {"name": _WORK_VOLUME, "emptyDir": {}}],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": max(1, round(deadline_seconds)),
        "terminationGracePeriodSeconds": EXACT_DELETE_GRACE_SECONDS,
        # It talks to the storage alone; a web identity's token is a volume of its own.
        "automountServiceAccountToken": False,
    }
    if nodes:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _on(nodes)}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": EXACT_DELETE_POD,
            "namespace": NAMESPACE,
            "labels": {"app": IMAGE_PRUNER_APP, EXACT_DELETE_LABEL: purpose, **MANAGED_BY},
            "annotations": {**(template.get("metadata", {}).get("annotations") or {}), WINDOW_ANNOTATION: window},
        },
        "spec": spec,
    }


def nodes_for(deployment: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The nodes that the pod has to be on: those of the registry's pods, where only one node may mount the volume.

    A ReadWriteOnce volume serves one replica, and is replaced by Recreate (OpenShift's documentation of the registry's
    storage): so it is told without a look at the claim, which the account may not read.

    :param pods: the registry's pods, as JSON.
    """
    spec = deployment["spec"]
    volumes = spec["template"]["spec"].get("volumes") or ()
    claimed = any(volume.get("persistentVolumeClaim") for volume in volumes)
    if not claimed or ((spec.get("strategy") or {}).get("type") != "Recreate" and spec.get("replicas", 1) != 1):
        return ()
    return tuple(sorted({pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}))


def _container(containers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = next((each for each in containers if each["name"] == REGISTRY_CONTAINER), containers[0])
    kept = {name: value for name, value in found.items() if name not in _NOT_OF_THE_CONTAINER}
    security = {
        "allowPrivilegeEscalation": False,
        **(kept.get("securityContext") or {}),
        "readOnlyRootFilesystem": True,
    }
    return kept | {"name": REGISTRY_CONTAINER, "securityContext": security}


def _on(nodes: Sequence[str]) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
