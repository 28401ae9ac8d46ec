"""Which image stream tags and images the cluster's workloads name: the base prune keeps those."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.registry.api import ApiClient, ApiFailureError, JsonObject
from sandbox.server.objects.resources import RESOURCE_TYPES

_WORKLOADS = (
    "pods", "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps", "jobs.batch",
    "cronjobs.batch",
)  # fmt: skip
_MAY_BE_FORBIDDEN = ("daemonsets.apps", "deployments.apps", "replicasets.apps")
# registry/namespace/name, with :tag or @digest: what the real one calls "hostname/namespace/name pattern".
_REFERENCE = re.compile(
    r"(?P<registry>[^/@]+)/(?P<namespace>[^/:@]+)/(?P<name>[^/:@]+)(?::(?P<tag>[^/@]+))?(?:@(?P<digest>.+))?"
)


@dataclass
class ImageUsage:
    """References to image streams.

    :param tags: ``NS/NAME:TAG`` that a workload names.
    :param images: ``NS/NAME@sha256:…`` that a workload names.
    """

    tags: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, api: ApiClient, namespace: str | None, too_old: str) -> ImageUsage:
        """Ask the API for all workloads.

        :param too_old: a pod that has ended counts only if it was created at this time (RFC 3339) or later.
        :raises ApiFailureError: a list that is needed is refused.
        """
        usage = cls()
        for resource in _WORKLOADS:
            for workload in _listed(api, resource, namespace):
                if resource == "pods" and _is_over(workload, too_old):
                    continue
                for image in _images(workload):
                    usage.add(image)
        return usage

    def add(self, image: str) -> None:
        """Take in the reference of one container."""
        match = _REFERENCE.fullmatch(image)
        if match is None:
            return
        stream = f"{match['namespace']}/{match['name']}"
        if match["digest"]:
            self.images.add(f"{stream}@{match['digest']}")
        else:
            self.tags.add(f"{stream}:{match['tag'] or 'latest'}")


def _listed(api: ApiClient, resource: str, namespace: str | None) -> list[JsonObject]:
    if resource not in RESOURCE_TYPES:
        return []
    try:
        return api.list(resource, namespace)
    except ApiFailureError as error:
        if error.code == 404:
            return []
        if error.code == 403 and resource in _MAY_BE_FORBIDDEN:
            plural = resource.partition(".")[0]
            sys.stderr.write(f"Failed to list {plural}: {error}\n - * Make sure to update clusterRoleBindings.\n")
            return []
        raise


def _is_over(pod: JsonObject, too_old: str) -> bool:
    phase = pod.get("status", {}).get("phase")
    created = str(pod["metadata"].get("creationTimestamp", ""))
    return phase not in ("Running", "Pending") and created < too_old


def _images(workload: JsonObject) -> Iterator[str]:
    spec = workload.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod = spec.get("template", {}).get("spec", spec)
    for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
        yield container.get("image", "").strip()
