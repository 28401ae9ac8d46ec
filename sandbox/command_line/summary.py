"""``python -m sandbox status``: how the cluster is, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.base.names import CLUSTER, CONFIGS, IMAGE_PRUNERS, NAMESPACE, POD_LABELS
from sandbox.base.object_storage import Bucket
from sandbox.base.paths import StateDirectory
from sandbox.command_line.admin_client import AdminClient
from sandbox.controllers.operator.settled import is_read_only
from sandbox.registry.storage.bucket import storage_of
from sandbox.registry.storage.sizes import bytes_size


def summary(state: StateDirectory, description: dict[str, Any], client: AdminClient) -> str:
    """The state of the sandbox, a few lines.

    :raises SandboxError: it does not answer.
    """
    told = client.request("GET", "/sandbox/status")
    return "\n".join(
        (
            f"server      {description['url']}, process {description['pid']}, state folder {state.root}",
            *_registry(client, told),
            *_pods(client, told),
            *_pruning(client, told),
            *_storage(state),
            *_faults(state, client, told),
        )
    )


def _named(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return next(found for found in objects if found["metadata"]["name"] == CLUSTER)


def _registry(client: AdminClient, told: dict[str, Any]) -> Iterator[str]:
    config = _named(client.list(CONFIGS))
    spec, status = config["spec"], config.get("status", {})
    mode = "read-only" if spec.get("readOnly") else "read-write"
    conditions = ", ".join(
        f"{found['type']}={found['status']}"
        for found in status.get("conditions", [])
        if found["type"] in ("Available", "Progressing", "Degraded")
    )
    yield f"registry    {spec['managementState']}, {mode} wanted, {'settled' if told['settled'] else 'not settled'}"
    yield (
        f"            generation {config['metadata']['generation']}, "
        f"observed {status.get('observedGeneration')}, {conditions}"
    )
    for key, value in sorted((config["metadata"].get("annotations") or {}).items()):
        yield f"            annotation {key}: {value}"
    yield f"            {told['registryServer']}"
    yield f"operator    {'runs' if told['operatorRunning'] else 'stopped'}"


def _pods(client: AdminClient, told: dict[str, Any]) -> Iterator[str]:
    for pod in client.list("pods", NAMESPACE):
        metadata, status = pod["metadata"], pod.get("status", {})
        ready = any(found["type"] == "Ready" and found["status"] == "True" for found in status.get("conditions", []))
        words = ["Terminating" if "deletionTimestamp" in metadata else status.get("phase", "Pending")]
        words += [status["reason"]] if "reason" in status else []
        words += ["ready"] if ready else []
        if POD_LABELS.items() <= (metadata.get("labels") or {}).items():
            words.append("read-only" if is_read_only(pod["spec"]) else "read-write")
        if address := told["registries"].get(metadata["name"]):
            words.append(f"serves http://{address}")
        yield f"pod         {metadata['name']}: {', '.join(words)} on {pod['spec'].get('nodeName', 'no node')}"


def _pruning(client: AdminClient, told: dict[str, Any]) -> Iterator[str]:
    spec = _named(client.list(IMAGE_PRUNERS))["spec"]
    yield f"ImagePruner {'suspended' if spec.get('suspend') else 'scheduled'}"
    for job in client.list("jobs.batch", NAMESPACE):
        ended = [found["type"] for found in job.get("status", {}).get("conditions") or []]
        yield f"job         {job['metadata']['name']}: {ended[-1] if ended else 'active'}"
    for pruner in told["pruners"]:
        yield f"hard prune  process {pruner['pid']} in {pruner['pod']}: {pruner['command']}"
    if told["mostPrunersAtOnce"] > 1:
        yield f"hard prune  {told['mostPrunersAtOnce']} of them have lived at the same moment"


def _storage(state: StateDirectory) -> Iterator[str]:
    sizes = [size for _, size in storage_of(state).blobs()]
    bucket = Bucket.read(state)
    place = state.storage if bucket is None else f"bucket {bucket.name} at {bucket.url}"
    yield f"storage     {len(sizes)} blobs, {bytes_size(sum(sizes))}, in {place}"


def _faults(state: StateDirectory, client: AdminClient, told: dict[str, Any]) -> Iterator[str]:
    lost = [name for name, alive in told["nodes"].items() if not alive]
    if lost:
        yield f"fault       nodes lost: {', '.join(lost)}"
    if not told["readinessAllowed"]:
        yield "fault       no container becomes ready"
    for fault in told["execFaults"]:
        yield f"fault       exec: {_given(fault)}"
    for fault in client.request("GET", "/sandbox/faults")["faults"]:
        yield f"fault       API: {_given(fault)}"
    if state.pruner_faults.exists():
        yield f"fault       pruner: {state.pruner_faults.read_text()}"


def _given(fault: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fault.items() if value not in (None, "", False, 0.0))
