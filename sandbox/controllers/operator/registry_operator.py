"""The registry's operator: the Config becomes the Deployment, and its status follows a little late."""

from __future__ import annotations

from typing import Any

from sandbox.base import storage_kinds as registry_storage
from sandbox.base.names import (
    CLUSTER,
    CLUSTER_OPERATOR,
    CLUSTER_VERSIONS,
    CONFIGS,
    DEPLOYMENT,
    IMAGE_PRUNERS,
    NAMESPACE,
)
from sandbox.controllers.base import ClusterOperator, Key, owned_by
from sandbox.controllers.operator import operator_conditions
from sandbox.controllers.operator.cluster_version import current_version
from sandbox.controllers.operator.registry_deployment import CHECKSUM, registry_deployment
from sandbox.controllers.workloads.deployment import DEPLOYMENTS, REPLICA_SETS

CLUSTER_OPERATORS = "clusteroperators.config.openshift.io"


class RegistryOperator(ClusterOperator):
    """Keeps the registry as its Config says."""

    kind = "Config"
    watched = (CONFIGS, DEPLOYMENTS, IMAGE_PRUNERS, CLUSTER_VERSIONS)

    def reconcile(self, key: Key) -> float | None:
        """Apply the Config, then report.

        The report looks at the Deployment as it was *before* this change, as the real operator looks at its
        cache: the Config's generation is observed while Progressing still says False.
        """
        record = self.store.find(CONFIGS, CLUSTER)
        if record is None:
            return None
        config = self.store.get(CONFIGS, CLUSTER)
        known = self._deployment()
        status = config.setdefault("status", {})
        state = config["spec"].get("managementState", "Managed")
        if state == "Managed" and registry_storage.kind_of(config["spec"].get("storage")) is not None:
            self._apply(config, status, known)
        elif state == "Removed":
            known = self._remove(known)
        self._report(config, status, state, known)
        return None

    def _deployment(self) -> dict[str, Any] | None:
        if self.store.find(DEPLOYMENTS, DEPLOYMENT, NAMESPACE) is None:
            return None
        return self.store.get(DEPLOYMENTS, DEPLOYMENT, NAMESPACE)

    def _apply(self, config: dict[str, Any], status: dict[str, Any], known: dict[str, Any] | None) -> None:
        """Make or correct the Deployment; any other change of its spec is undone.

        As ``resourceapply.ApplyDeployment`` of library-go: it writes when the checksum of what is wanted or the
        Deployment's generation is another than at the last write.
        """
        wanted = registry_deployment(config, self._settings)
        if known is None:
            written = self.store.create(DEPLOYMENTS, wanted)
        elif "deletionTimestamp" in known["metadata"]:
            return
        else:
            annotations = known["metadata"].get("annotations") or {}
            checksum = wanted["metadata"]["annotations"][CHECKSUM]
            unchanged = known["metadata"]["generation"] == _last_generation(status)
            if unchanged and annotations.get(CHECKSUM) == checksum:
                return
            metadata = {
                **known["metadata"],
                "labels": {**(known["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]},
                "annotations": {**annotations, **wanted["metadata"]["annotations"]},
            }
            written = self.store.update(DEPLOYMENTS, {**known, "metadata": metadata, "spec": wanted["spec"]})
        _note_generation(status, written["metadata"]["generation"])

    def _remove(self, known: dict[str, Any] | None) -> dict[str, Any] | None:
        """Delete the Deployment after its ReplicaSets, and those after their pods."""
        if known is not None and "deletionTimestamp" not in known["metadata"]:
            for replica_set in owned_by(self.store.list(REPLICA_SETS, NAMESPACE), known):
                self.store.delete(REPLICA_SETS, replica_set["metadata"]["name"], NAMESPACE, propagation="Foreground")
            self.store.delete(DEPLOYMENTS, DEPLOYMENT, NAMESPACE, propagation="Foreground")
        return self._deployment()

    def _report(self, config: dict[str, Any], status: dict[str, Any], state: str, known: dict[str, Any] | None) -> None:
        conditions = operator_conditions.config_conditions(
            state, config["spec"].get("storage"), known, status.get("conditions") or []
        )
        operator_conditions.apply(status, conditions)
        status["readyReplicas"] = (known or {}).get("status", {}).get("readyReplicas", 0)
        status["observedGeneration"] = config["metadata"]["generation"]
        status["storage"] = storage = config["spec"].get("storage") or {}
        status["storageManaged"] = storage.get("managementState") == "Managed"
        self.store.modify(CONFIGS, CLUSTER, None, lambda obj: obj.update(status=status), subresource="status")
        self._report_cluster_operator(status["conditions"])

    def _report_cluster_operator(self, conditions: list[dict[str, Any]]) -> None:
        if self.store.find(CLUSTER_OPERATORS, CLUSTER_OPERATOR) is None:
            return
        pruner = self.store.find(IMAGE_PRUNERS, CLUSTER)
        pruner_conditions = (pruner.object.get("status") or {}).get("conditions") or [] if pruner else []

        def write(obj: dict[str, Any]) -> None:
            status = obj.setdefault("status", {})
            status["versions"] = [{"name": "operator", "version": current_version(self.store)}]
            operator_conditions.apply(status, operator_conditions.union(conditions, pruner_conditions))

        self.store.modify(CLUSTER_OPERATORS, CLUSTER_OPERATOR, None, write, subresource="status")


def _last_generation(status: dict[str, Any]) -> int:
    generations = status.get("generations") or []
    return next((found["lastGeneration"] for found in generations if found["name"] == DEPLOYMENT), -1)


def _note_generation(status: dict[str, Any], generation: int) -> None:
    status["generations"] = [
        {
            "group": "apps",
            "resource": "deployments",
            "namespace": NAMESPACE,
            "name": DEPLOYMENT,
            "lastGeneration": generation,
            "hash": "",
        }
    ]
