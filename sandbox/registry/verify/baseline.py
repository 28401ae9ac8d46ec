"""How the cluster was before any run touched it: what ``verify`` compares with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from sandbox.base.names import CLUSTER, CONFIGS, IMAGE_PRUNERS, NAMESPACE
from sandbox.base.paths import StateDirectory

ListObjects = Callable[[str, str | None], list[dict[str, Any]]]
"""Lists the objects of a resource (``jobs.batch``) in a namespace (None: of the cluster)."""


@dataclass(frozen=True)
class Baseline:
    """What a run has to leave as it was.

    :param read_only: ``spec.readOnly`` of the registry's Config.
    :param config_annotations: annotations of that Config.
    :param image_pruner: ``spec`` of the ImagePruner.
    :param cluster_role_bindings: name to role and sorted subjects (``ServiceAccount ns/name``, ``User name``).
    :param jobs: names of the Jobs in the registry's namespace.
    """

    read_only: bool
    config_annotations: dict[str, str]
    image_pruner: dict[str, Any]
    cluster_role_bindings: dict[str, dict[str, Any]]
    jobs: list[str]

    @classmethod
    def take(cls, list_objects: ListObjects) -> Self:
        """The cluster as it is now.

        :param list_objects: how to ask it: the store's own list, or one over HTTP.
        """
        config = _named(list_objects(CONFIGS, None), CLUSTER)
        image_pruner = _named(list_objects(IMAGE_PRUNERS, None), CLUSTER)
        bindings = list_objects("clusterrolebindings.rbac.authorization.k8s.io", None)
        jobs = list_objects("jobs.batch", NAMESPACE)
        return cls(
            read_only=bool(config.get("spec", {}).get("readOnly", False)),
            config_annotations=dict(config.get("metadata", {}).get("annotations") or {}),
            image_pruner=dict(image_pruner.get("spec", {})),
            cluster_role_bindings={binding["metadata"]["name"]: _granted(binding) for binding in bindings},
            jobs=sorted(job["metadata"]["name"] for job in jobs),
        )

    def write(self, state: StateDirectory) -> None:
        """Keep it in the state folder."""
        state.baseline.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")

    @classmethod
    def read(cls, state: StateDirectory) -> Self:
        """The one that ``up`` kept.

        :raises FileNotFoundError: the sandbox has not been up in that folder.
        """
        return cls(**json.loads(state.baseline.read_text()))


def _named(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((found for found in objects if found["metadata"]["name"] == name), {})


def _granted(binding: dict[str, Any]) -> dict[str, Any]:
    subjects = sorted(
        f"{subject['kind']} {subject['namespace']}/{subject['name']}"
        if subject.get("namespace")
        else f"{subject['kind']} {subject['name']}"
        for subject in binding.get("subjects") or []
    )
    return {"role": binding["roleRef"]["name"], "subjects": subjects}
