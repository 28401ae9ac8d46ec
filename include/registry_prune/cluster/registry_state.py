"""The registry as one moment showed it, and whether it is settled (pure).

Settled means that every pod, Terminating ones included, is in the wanted mode. Neither ``oc rollout status`` nor
``Progressing=False`` say that: both were seen to report success for the old template right after the patch, and old
pods go on serving, and accepting uploads, until their preStop and grace have run out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import yaml
from pydantic import AwareDatetime

from include.registry_prune.names import DEPLOYMENT, REGISTRY_CONTAINER
from include.registry_prune.records import Record, WindowRecord

LOST_POD_SECONDS = 60.0
"""A pod is gone a second or two after its grace; clocks of clusters and of Airflow differ less than this."""
READ_ONLY_ENVIRONMENT = "REGISTRY_STORAGE_MAINTENANCE_READONLY"


class PodState(Record):
    """One registry pod.

    :param read_only: by the environment of its container.
    :param terminating_since: its deletionTimestamp, or None.
    :param waiting: why its containers do not run, in Kubernetes' word (``ImagePullBackOff``); empty if it is not said.
    :param not_ready_since: when it got to be not ready; None if it is ready.
    :param ended: its phase is Failed or Succeeded: it serves nothing any more (an evicted pod stays as an object).
    """

    name: str
    uid: str
    read_only: bool
    ready: bool
    terminating_since: str | None = None
    ended: bool = False
    phase: str = ""
    created_at: AwareDatetime | None = None
    waiting: str = ""
    not_ready_since: str | None = None

    @property
    def left_over(self) -> bool:
        """Whether only the object is left, and stays: an evicted pod. One that is Terminating is soon gone for good."""
        return self.ended and self.terminating_since is None

    def lost(self, now: datetime | None = None) -> bool:
        """Whether it should be gone for long and is not: its node does not answer, and its object stays as it is.

        ``deletionTimestamp`` is when its grace ends.
        """
        return _is_long_past(self.terminating_since, now)

    def silent(self, now: datetime | None = None) -> bool:
        """For who could not look into it: whether its node does not answer, be it that its processes go on there.

        A node that is not heard of for 40 seconds makes its pods not ready.
        """
        return _is_long_past(self.not_ready_since, now)

    @property
    def running(self) -> bool:
        """Whether processes may live in it, and can be looked for."""
        return self.phase == "Running" and not self.ended


def _is_long_past(moment: str | None, now: datetime | None) -> bool:
    if moment is None:
        return False
    return ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds() > LOST_POD_SECONDS


class RegistryState(Record):
    """What the Kubernetes API showed of the registry at one moment."""

    version: Literal[1] = 1
    read_only: bool
    management_state: str
    config_generation: int
    config_observed_generation: int
    conditions: tuple[str, ...] = ()
    deployment_found: bool = True
    template_read_only: bool = False
    generation: int = 0
    observed_generation: int = 0
    replicas_wanted: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    pods: tuple[PodState, ...] = ()

    def ready_pods(self) -> list[PodState]:
        """The pods that an exec can rely on: ready, not terminating; by name."""
        ready = [pod for pod in self.pods if pod.ready and pod.terminating_since is None and not pod.ended]
        return sorted(ready, key=lambda pod: pod.name)

    def running_pods(self) -> list[PodState]:
        """The pods that a pruner may live in: those that are not ready, and those that terminate, among them."""
        return [pod for pod in self.pods if pod.running]


class Settled(WindowRecord):
    """Every pod is in the wanted mode.

    :param seconds: how long it took from the patch.
    :param read_only_seconds: for a closed window: from the patch ``readOnly: true`` until now.
    :param closed_at: for a closed window: now.
    :param pod_uids: of the pods that serve.
    :param first_pod_at: when the first pod in the wanted mode was seen ready.
    :param delete_began_at: for a closed window: when a delete began in it, by its lease; None if none did.
    """

    version: Literal[1] = 1
    read_only: bool
    seconds: float
    pods: int
    read_only_seconds: float | None = None
    closed_at: AwareDatetime | None = None
    pod_uids: tuple[str, ...] = ()
    first_pod_at: AwareDatetime | None = None
    delete_began_at: AwareDatetime | None = None


class PodsSeen(Record):
    """What was seen of the pods of a registry that did not settle.

    :param first_pod_at: when the first pod in the wanted mode was seen ready; None: there was none.
    """

    version: Literal[1] = 1
    first_pod_at: AwareDatetime | None = None


class Opening(WindowRecord):
    """What the patch ``readOnly: true`` of a run made.

    :param opened_at: when.
    :param config_generation: ``metadata.generation`` of the Config after it: it counts changes of the spec alone, so
        that as long as it stays, nobody has changed ``readOnly``.
    """

    version: Literal[1] = 1
    opened_at: AwareDatetime
    config_generation: int


def is_still_window(state: RegistryState, opening: Opening, settled: Settled | None) -> bool:
    """Whether a registry that is read-only without a lease is the window that a run opened (pure).

    Either nobody has changed the Config's spec since, or the pods that serve are the very ones that the window made:
    had somebody set ``readOnly`` back and true again, they would have been replaced.

    :param settled: the window once it was settled; None if that was not seen.
    """
    if not state.read_only:
        return False
    if state.config_generation == opening.config_generation:
        return True
    serving = {pod.uid for pod in state.pods if not pod.ended}
    return settled is not None and bool(serving) and serving <= set(settled.pod_uids)


def mode_word(read_only: bool) -> str:
    """The mode in words."""
    return "read-only" if read_only else "read-write"


def is_read_only(container: dict[str, Any]) -> bool:
    """Whether a container's environment makes the registry in it read-only.

    :param container: a container of a pod or of a pod template, as JSON.
    """
    for variable in container.get("env") or ():
        if variable.get("name") == READ_ONLY_ENVIRONMENT:
            try:
                value = yaml.safe_load(variable.get("value") or "")
            except (yaml.YAMLError, ValueError):  # ValueError: what looks like a date and is none
                return False
            return isinstance(value, dict) and value.get("enabled") is True
    return False


def unsettled(state: RegistryState, *, read_only: bool, operator_answers: bool = True) -> list[str]:
    """What is not yet in the wanted mode, each in words; an empty list means settled.

    :param operator_answers: False where the operator is known not to look at the Config: what it has seen is no matter.

    Pods of the wanted mode that are not ready are named with the rest; by themselves they are no reason.
    """
    wanted = mode_word(read_only)
    if state.read_only is not read_only:
        return [
            f"Config cluster: spec.readOnly is {str(state.read_only).lower()}, so nothing is on its way to {wanted}"
        ]
    reasons = []
    if operator_answers and state.config_observed_generation < state.config_generation:
        reasons.append(
            f"Config cluster: the operator has seen generation {state.config_observed_generation} of "
            f"{state.config_generation}"
        )
    if not state.deployment_found:
        return [*reasons, f"Deployment {DEPLOYMENT}: not found (managementState is {state.management_state})"]
    if state.template_read_only is not read_only:
        reasons.append(
            f"Deployment {DEPLOYMENT}: its template is {mode_word(state.template_read_only)}; "
            f"managementState is {state.management_state}"
        )
    reasons += _rollout_reasons(state)
    for pod in state.pods:
        if pod.read_only is not read_only and not pod.left_over:
            since = f", Terminating since {pod.terminating_since}" if pod.terminating_since else ""
            reasons.append(f"pod {pod.name}: still {mode_word(pod.read_only)}{since}")
    if not state.ready_pods():
        reasons.append("no registry pod is ready")
    return reasons + [_not_ready(pod) for pod in state.pods if _gets_ready(pod, read_only)] if reasons else []


def _gets_ready(pod: PodState, read_only: bool) -> bool:
    return pod.read_only is read_only and not pod.ready and not pod.ended and pod.terminating_since is None


def _not_ready(pod: PodState) -> str:
    why = ", ".join(word for word in (pod.phase, pod.waiting) if word)
    since = f", since {pod.not_ready_since}" if pod.not_ready_since else ""
    return f"pod {pod.name}: not ready ({why or 'no phase'}){since}"


def _rollout_reasons(state: RegistryState) -> list[str]:
    if state.observed_generation < state.generation:
        return [
            f"Deployment {DEPLOYMENT}: its controller has seen generation {state.observed_generation} of "
            f"{state.generation}"
        ]
    counts = {state.replicas, state.updated_replicas, state.available_replicas}
    if counts == {state.replicas_wanted}:
        return []
    return [
        f"Deployment {DEPLOYMENT}: {state.replicas_wanted} replicas wanted, {state.replicas} there, "
        f"{state.updated_replicas} updated, {state.available_replicas} available"
    ]


def _serves_read_only(pod_spec: Mapping[str, Any]) -> bool:
    """Whether pods of this spec serve read-only, by the environment of their registry container."""
    containers = pod_spec["containers"]
    return is_read_only(next((each for each in containers if each["name"] == REGISTRY_CONTAINER), containers[0]))


def pod_state(pod: Mapping[str, Any]) -> PodState:
    """What counts of a registry pod, from its object."""
    status = pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready = conditions.get("Ready", {}).get("status") == "True"
    since = conditions.get("Ready", {}).get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    return PodState(
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        read_only=_serves_read_only(pod["spec"]),
        ready=ready,
        terminating_since=pod["metadata"].get("deletionTimestamp"),
        ended=status.get("phase") in ("Failed", "Succeeded"),
        phase=status.get("phase", ""),
        created_at=pod["metadata"].get("creationTimestamp"),
        waiting=_why_waiting(status, conditions),
        not_ready_since=None if ready else since,
    )


def _why_waiting(status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> str:
    for container in status.get("containerStatuses") or ():
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
        if reason:
            return str(reason)
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled.get("reason") or "") if scheduled.get("status") == "False" else ""


def registry_state(
    config: Mapping[str, Any], deployment: Mapping[str, Any] | None, pods: Iterable[Mapping[str, Any]]
) -> RegistryState:
    """What counts of the registry, from its objects."""
    status = config.get("status") or {}
    state = RegistryState(
        read_only=bool(config["spec"].get("readOnly")),
        management_state=str(config["spec"].get("managementState", "")),
        config_generation=config["metadata"].get("generation", 0),
        config_observed_generation=status.get("observedGeneration", 0),
        conditions=tuple(
            f"{each['type']}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
            for each in status.get("conditions") or ()
        ),
        deployment_found=deployment is not None,
        pods=tuple(pod_state(pod) for pod in pods),
    )
    return state if deployment is None else state.model_copy(update=_deployment_fields(deployment))


def _deployment_fields(deployment: Mapping[str, Any]) -> dict[str, Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return {
        "template_read_only": _serves_read_only(spec["template"]["spec"]),
        "generation": deployment["metadata"].get("generation", 0),
        "observed_generation": status.get("observedGeneration", 0),
        "replicas_wanted": spec.get("replicas", 1),
        "replicas": status.get("replicas") or 0,
        "updated_replicas": status.get("updatedReplicas") or 0,
        "available_replicas": status.get("availableReplicas") or 0,
    }
