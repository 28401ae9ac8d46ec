"""The Deployment controller: ReplicaSets for the templates, rolling updates, and the status that lags behind."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sandbox.controllers.base import Controller, Key, owned_by, owner_reference
from sandbox.controllers.workloads.replicas import Replicas, Strategy, scale_new, scale_old
from sandbox.kubelet.pod_status import set_condition
from sandbox.server.objects.metadata import timestamp

DEPLOYMENTS = "deployments.apps"
REPLICA_SETS = "replicasets.apps"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"

_SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: dict[str, Any]) -> str:
    """The hash that tells pods of one template from those of another, in the real one's alphabet."""
    content = json.dumps(template, sort_keys=True).encode()
    number = int.from_bytes(hashlib.sha256(content).digest()[:4])
    return "".join(_SAFE_ALPHABET[ord(digit) % len(_SAFE_ALPHABET)] for digit in str(number))


class DeploymentController(Controller):
    """Rolls Deployments."""

    kind = "Deployment"
    watched = (DEPLOYMENTS, REPLICA_SETS)

    def reconcile(self, key: Key) -> float | None:
        """One step of a rollout: the new ReplicaSet first, then the old ones, then the status."""
        if self.store.find(DEPLOYMENTS, key[1], key[0]) is None:
            return None
        deployment = self.store.get(DEPLOYMENTS, key[1], key[0])
        replica_sets = owned_by(self.store.list(REPLICA_SETS, key[0]), deployment)
        replica_sets.sort(key=_revision)
        pod_hash = template_hash(deployment["spec"]["template"])
        new = next((found for found in replica_sets if found["metadata"]["labels"][HASH_LABEL] == pod_hash), None)
        if "deletionTimestamp" in deployment["metadata"] or deployment["spec"].get("paused"):
            return self._write_status(deployment, new, replica_sets, rolling=False)
        old = [found for found in replica_sets if found is not new]
        if new is None:
            new = self._create_replica_set(deployment, pod_hash, old)
        else:
            self._scale(deployment, new, old)
        self._note_revision(new, old)
        self._clean_up(deployment, new, old)
        return self._write_status(deployment, new, [*old, new], rolling=True)

    def _create_replica_set(
        self, deployment: dict[str, Any], pod_hash: str, old: list[dict[str, Any]]
    ) -> dict[str, Any]:
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{pod_hash}"
        labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: pod_hash}
        replica_set = {
            "metadata": {
                "name": name,
                "namespace": deployment["metadata"]["namespace"],
                "labels": labels,
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": scale_new(
                    Replicas(name, 0), [Replicas.of(found) for found in old], Strategy.of(deployment)
                ),
                "selector": {"matchLabels": {**deployment["spec"]["selector"]["matchLabels"], HASH_LABEL: pod_hash}},
                "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
            },
        }
        return self.store.create(REPLICA_SETS, replica_set)

    def _note_revision(self, new: dict[str, Any], old: list[dict[str, Any]]) -> None:
        """Have the new ReplicaSet carry the highest revision.

        The real controller writes it into the Deployment too, through the status subresource, so that the
        generation stays; the sandbox's does not.
        """
        revision = str(max(_revision(new), max(map(_revision, old), default=0) + 1))

        def note(obj: dict[str, Any]) -> None:
            obj["metadata"]["annotations"] = {**(obj["metadata"].get("annotations") or {}), REVISION: revision}

        name, namespace = new["metadata"]["name"], new["metadata"]["namespace"]
        new.update(self.store.modify(REPLICA_SETS, name, namespace, note))

    def _scale(self, deployment: dict[str, Any], new: dict[str, Any], old: list[dict[str, Any]]) -> None:
        strategy = Strategy.of(deployment)
        new_replicas, old_replicas = Replicas.of(new), [Replicas.of(found) for found in old]
        wanted = scale_new(new_replicas, old_replicas, strategy)
        if wanted != new_replicas.wanted:
            changes = {new_replicas.name: wanted}
        else:
            changes = scale_old(new_replicas, old_replicas, strategy)
        for replica_set in (new, *old):
            name = replica_set["metadata"]["name"]
            if name in changes and changes[name] != replica_set["spec"]["replicas"]:
                replica_set["spec"]["replicas"] = changes[name]
                replica_set.update(self.store.update(REPLICA_SETS, replica_set))

    def _clean_up(self, deployment: dict[str, Any], new: dict[str, Any], old: list[dict[str, Any]]) -> None:
        """Forget the oldest empty ReplicaSets beyond ``revisionHistoryLimit``."""
        if Replicas.of(new).available < deployment["spec"].get("replicas", 1):
            return
        empty = [found for found in old if not found["spec"]["replicas"] and not Replicas.of(found).present]
        for replica_set in empty[: max(len(empty) - deployment["spec"].get("revisionHistoryLimit", 10), 0)]:
            self.store.delete(REPLICA_SETS, replica_set["metadata"]["name"], replica_set["metadata"]["namespace"])
            old.remove(replica_set)

    # --- status

    def _write_status(
        self,
        deployment: dict[str, Any],
        new: dict[str, Any] | None,
        replica_sets: list[dict[str, Any]],
        *,
        rolling: bool,
    ) -> float | None:
        present = [Replicas.of(found) for found in replica_sets]
        before = deployment.get("status", {})
        counts = {
            "replicas": sum(found.present for found in present),
            "updatedReplicas": Replicas.of(new).present if new else 0,
            "readyReplicas": sum(found.ready for found in present),
            "availableReplicas": sum(found.available for found in present),
        }
        counts["unavailableReplicas"] = max(sum(found.wanted for found in present) - counts["availableReplicas"], 0)
        # As in the API's JSON, a count of zero is left out.
        status: dict[str, Any] = {name: count for name, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        status["conditions"] = list(before.get("conditions") or [])
        least = Strategy.of(deployment).wanted - Strategy.of(deployment).max_unavailable
        enough = counts["availableReplicas"] >= least
        set_condition(
            status,
            "Available",
            enough,
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        )
        again = None
        if new is not None and rolling:
            again = _progress(deployment, before, status, counts, new["metadata"]["name"])
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        self.store.modify(DEPLOYMENTS, name, namespace, lambda obj: obj.update(status=status), subresource="status")
        return again


def _revision(replica_set: dict[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _progress(
    deployment: dict[str, Any],
    before: dict[str, Any],
    status: dict[str, Any],
    counts: dict[str, int],
    replica_set: str,
) -> float | None:
    """Set the condition Progressing as the real controller does; returns when its deadline has to be looked at.

    A rollout that has just begun changes no count yet: for a moment the new generation is observed and the
    condition still says that all is done (``transcripts/cluster/documented-procedure-timeline.txt``, 0.87 s).
    """
    condition = next((found for found in status["conditions"] if found["type"] == "Progressing"), None)
    wanted = deployment["spec"].get("replicas", 1)
    complete = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted
    reason = condition["reason"] if condition else None
    if reason == "NewReplicaSetAvailable" and counts["replicas"] == counts["updatedReplicas"]:
        return None
    if complete:
        message = f'ReplicaSet "{replica_set}" has successfully progressed.'
        set_condition(status, "Progressing", value=True, reason="NewReplicaSetAvailable", message=message)
    elif _has_progressed(before, counts):
        message = f'ReplicaSet "{replica_set}" is progressing.'
        set_condition(status, "Progressing", value=True, reason="ReplicaSetUpdated", message=message)
    elif condition is None:
        message = f'Created new replica set "{replica_set}"'
        set_condition(status, "Progressing", value=True, reason="NewReplicaSetCreated", message=message)
    else:
        return _deadline(deployment, status, condition, replica_set)
    updated = next(found for found in status["conditions"] if found["type"] == "Progressing")
    updated["lastUpdateTime"] = timestamp()
    return None if complete else float(deployment["spec"].get("progressDeadlineSeconds", 600))


def _has_progressed(before: dict[str, Any], counts: dict[str, int]) -> bool:
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return old_before > counts["replicas"] - counts["updatedReplicas"] or any(
        counts[name] > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _deadline(
    deployment: dict[str, Any], status: dict[str, Any], condition: dict[str, Any], replica_set: str
) -> float | None:
    if condition["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    updated = datetime.fromisoformat(condition.get("lastUpdateTime", condition["lastTransitionTime"]))
    left = deployment["spec"].get("progressDeadlineSeconds", 600) - (datetime.now(UTC) - updated).total_seconds()
    if left > 0:
        return float(left)
    message = f'ReplicaSet "{replica_set}" has timed out progressing.'
    set_condition(status, "Progressing", value=False, reason="ProgressDeadlineExceeded", message=message)
    return None
