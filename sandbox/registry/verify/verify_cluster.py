"""What a run may leave behind in the cluster: compared with how the cluster was before."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.base.names import CLUSTER, CONFIGS, NAMESPACE, POD_LABELS, PRUNER_CRON_JOB, READ_ONLY_VARIABLE
from sandbox.base.paths import StateDirectory
from sandbox.registry.api import ApiClient, JsonObject
from sandbox.registry.verify.baseline import Baseline
from sandbox.registry.verify.pruners import pruner_processes

IMAGE_PRUNER_ROLE = "system:image-pruner"
_MANUAL_ANNOTATION = "cronjob.kubernetes.io/instantiate"


def cluster_problems(api: ApiClient, state: StateDirectory) -> Iterator[str]:
    """What is left behind, a line for each.

    :raises ApiFailureError: the API does not answer.
    """
    before, now = Baseline.read(state), Baseline.take(api.list)
    if now.read_only:
        yield f"{CONFIGS}/{CLUSTER}: spec.readOnly is true: nothing can be pushed"
    yield from _annotation_problems(before, now)
    yield from _binding_problems(before, now)
    if now.image_pruner != before.image_pruner:
        yield f"imagepruners/{CLUSTER}: spec was {before.image_pruner} and is {now.image_pruner}"
    yield from _pod_problems(api.list("pods", NAMESPACE))
    yield from _job_problems(before, api.list("jobs.batch", NAMESPACE))
    yield from _process_problems(state)


REMEMBERED = ("registry-prune/closed-windows", "registry-prune/entry")
"""Annotations that are meant to stay: whoever prunes remembers by them which windows it has closed, and who it is."""


def _annotation_problems(before: Baseline, now: Baseline) -> Iterator[str]:
    for key in sorted(now.config_annotations.keys() | before.config_annotations.keys()):
        value, earlier = now.config_annotations.get(key), before.config_annotations.get(key)
        if value == earlier or key in REMEMBERED:
            continue
        if earlier is None:
            yield f"{CONFIGS}/{CLUSTER}: annotation {key} was left behind: {value}"
        else:
            yield f"{CONFIGS}/{CLUSTER}: annotation {key} was {earlier!r} and is {value!r}"


def _binding_problems(before: Baseline, now: Baseline) -> Iterator[str]:
    grants, earlier = _grants(now), _grants(before)
    for name in sorted(grants.keys() | earlier.keys()):
        if name not in earlier:
            yield f"clusterrolebindings/{name}: {IMAGE_PRUNER_ROLE} is still granted to {grants[name]}"
        elif name not in grants:
            yield f"clusterrolebindings/{name}: it is gone; {IMAGE_PRUNER_ROLE} was granted to {earlier[name]}"
        elif grants[name] != earlier[name]:
            yield (
                f"clusterrolebindings/{name}: {IMAGE_PRUNER_ROLE} was granted to {earlier[name]}, now to {grants[name]}"
            )


def _grants(baseline: Baseline) -> dict[str, str]:
    return {
        name: ", ".join(binding["subjects"]) or "nobody"
        for name, binding in baseline.cluster_role_bindings.items()
        if binding["role"] == IMAGE_PRUNER_ROLE
    }


def _pod_problems(pods: list[JsonObject]) -> Iterator[str]:
    for pod in pods:
        metadata = pod["metadata"]
        if not (metadata.get("labels") or {}).items() >= POD_LABELS.items():
            continue
        variables = {
            variable["name"] for container in pod["spec"]["containers"] for variable in container.get("env") or []
        }
        if READ_ONLY_VARIABLE in variables:
            ending = " (terminating)" if metadata.get("deletionTimestamp") else ""
            yield f"pods/{metadata['name']}{ending}: it is read-only: {READ_ONLY_VARIABLE} is set"


def _job_problems(before: Baseline, jobs: list[JsonObject]) -> Iterator[str]:
    for job in jobs:
        name, conditions = job["metadata"]["name"], job.get("status", {}).get("conditions") or []
        failed = next((entry for entry in conditions if _is_true(entry, "Failed")), None)
        if name in before.jobs or (_is_scheduled(job) and not failed):
            continue
        if failed:
            yield f"jobs/{name}: it failed ({failed.get('reason', 'no reason')}) and was left behind"
        else:
            over = any(_is_true(entry, "Complete") for entry in conditions)
            yield f"jobs/{name}: it {'has ended' if over else 'is not over'} and was left behind"


def _is_true(condition: JsonObject, kind: str) -> bool:
    return bool(condition.get("type") == kind and condition.get("status") == "True")


def _is_scheduled(job: JsonObject) -> bool:
    """Did the cluster's own schedule start it? A Job that a person made from the CronJob carries an annotation."""
    metadata = job["metadata"]
    owners = metadata.get("ownerReferences") or []
    owned = any(owner["kind"] == "CronJob" and owner["name"] == PRUNER_CRON_JOB for owner in owners)
    return owned and _MANUAL_ANNOTATION not in (metadata.get("annotations") or {})


def _process_problems(state: StateDirectory) -> Iterator[str]:
    for process in pruner_processes(state.root.resolve()):
        yield f"process {process['pid']} in pod {process['pod']}: {process['command']} still runs"
