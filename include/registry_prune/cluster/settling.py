"""Waiting until the registry is settled, by watching and not by sleeping; replacing its pods one after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import RegistryState, Settled, mode_word, unsettled
from include.registry_prune.cluster.watching import registry_changes
from include.registry_prune.names import DEPLOYMENT, NAMESPACE
from include.registry_prune.units import format_seconds

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 5.0
"""How often the registry is looked at even if no watch reports a change."""
SAY_EVERY_SECONDS = 15.0
OPERATOR_SECONDS = 60.0
"""An operator that works changes the Deployment within half a second of the Config; after this it does not answer."""
_SILENT_OPERATOR = (
    f"The registry's operator does not answer: Config cluster took spec.readOnly: true {{wait}} ago, and Deployment "
    f"{DEPLOYMENT} has not changed. No pod became read-only. Look at Deployment cluster-image-registry-operator in "
    f"namespace {NAMESPACE}, and at its log."
)
_LOST_POD = (
    "The registry does not get read-only: pod {pods} should be gone for long, and its node does not answer. It may "
    "take pushes as long as it lives. Look at `oc get nodes`: bring the node back, or take it out of the cluster; the "
    "next run prunes then."
)


class NotSettledError(Exception):
    """The registry did not get into the wanted mode in time; the message names what is missing.

    :param first_pod_at: when the first pod in the wanted mode was seen ready; None: there was none.
    """

    def __init__(self, message: str, *, first_pod_at: datetime | None = None) -> None:
        super().__init__(message)
        self.first_pod_at = first_pod_at


def wait_until_settled(
    cluster: Cluster,
    *,
    read_only: bool,
    limit_seconds: float,
    without_pod: str | None = None,
    gives_up_what_is_lost: bool = False,
) -> Settled:
    """Wait until every pod, Terminating ones included, is in the wanted mode.

    An API server that does not answer for a while is waited for, too. ``spec.readOnly`` has to be what is wanted: where
    somebody has changed it meanwhile, nothing is on its way, and the whole limit would be lost.

    :param without_pod: uid of a pod that has to be gone as well.
    :param gives_up_what_is_lost: for a window that is closed: a pod of a lost node, whose object stays, and an operator
        that does not answer are not waited for, once every other pod is in the wanted mode.
    :raises NotSettledError: after ``limit_seconds``; it names what is not settled and the operator's conditions. At
        once if ``spec.readOnly`` is not what is wanted, or only pods of lost nodes keep it from being read-only.
    """
    started = said = time.monotonic()
    first_pod_at: datetime | None = None
    with registry_changes(cluster) as wait_for_change:
        while True:
            now = time.monotonic()
            silent = now - started > OPERATOR_SECONDS
            state, reasons = _look(cluster, read_only, without_pod, gives_up=gives_up_what_is_lost, silent=silent)
            if first_pod_at is None and state is not None and _has_ready_pod(state, read_only):
                first_pod_at = datetime.now(UTC)
            if state is not None and not reasons:
                log.info("Settled %s after %s", mode_word(read_only), format_seconds(now - started))
                return Settled(
                    read_only=read_only,
                    seconds=round(now - started, 3),
                    pods=len(state.pods),
                    pod_uids=tuple(pod.uid for pod in state.pods if not pod.ended),
                    first_pod_at=first_pod_at,
                )
            if state is not None and state.read_only is not read_only:
                raise NotSettledError(
                    f"Somebody has changed it meanwhile: {'; '.join(reasons)}", first_pod_at=first_pod_at
                )
            if state is not None and read_only and silent and _operator_is_silent(state):
                silence = _SILENT_OPERATOR.format(wait=format_seconds(now - started))
                raise NotSettledError(silence, first_pod_at=first_pod_at)
            if state is not None and read_only and (lost := _only_lost_are_left(state)):
                raise NotSettledError(_LOST_POD.format(pods=", ".join(lost)), first_pod_at=first_pod_at)
            if now - started > limit_seconds:
                conditions = f" Operator: {'; '.join(state.conditions)}" if state else ""
                raise NotSettledError(
                    f"The registry is not settled {mode_word(read_only)} after {format_seconds(limit_seconds)}: "
                    f"{'; '.join(reasons)}.{conditions}",
                    first_pod_at=first_pod_at,
                )
            if now - said > SAY_EVERY_SECONDS:
                said = now
                log.info("Waiting until settled %s: %s", mode_word(read_only), "; ".join(reasons))
            wait_for_change(min(LOOK_AGAIN_SECONDS, max(started + limit_seconds - now, 0.1)))


def _has_ready_pod(state: RegistryState, read_only: bool) -> bool:
    return any(pod.ready and pod.read_only is read_only for pod in state.pods)


def _operator_is_silent(state: RegistryState) -> bool:
    """Whether the operator has seen nothing of the Config's last change, and done nothing about it."""
    return state.config_observed_generation < state.config_generation and not state.template_read_only


def _only_lost_are_left(state: RegistryState) -> list[str]:
    """The pods of lost nodes, if nothing else keeps the registry from being read-only: they do not go by themselves."""
    lost = [pod.name for pod in state.pods if pod.lost() and not pod.read_only]
    there = tuple(pod for pod in state.pods if pod.name not in lost)
    return [] if unsettled(state.model_copy(update={"pods": there}), read_only=True) else lost


def _look(
    cluster: Cluster, read_only: bool, without_pod: str | None, *, gives_up: bool, silent: bool
) -> tuple[RegistryState | None, list[str]]:
    """The registry now and what is not settled about it; no state while the API server does not answer.

    :param silent: the operator has had its time.
    """
    try:
        state = cluster.registry_state()
    except ClusterError as error:
        if error.permanent:
            raise
        return None, [str(error)]
    still_there = [f"pod {pod.name}: still there" for pod in state.pods if pod.uid == without_pod and not pod.ended]
    if not gives_up:
        return state, unsettled(state, read_only=read_only) + still_there
    lost = [pod.name for pod in state.pods if pod.lost()]
    there = state.model_copy(update={"pods": tuple(pod for pod in state.pods if not pod.lost())})
    reasons = unsettled(there, read_only=read_only, operator_answers=not silent) + still_there
    if lost and not reasons:
        log.warning(
            "Pod %s should have been gone long ago: its node does not answer. Not waiting for it", ", ".join(lost)
        )
    if not reasons and state.config_observed_generation < state.config_generation:
        log.warning("The registry's operator has not seen the change yet; every pod is %s", mode_word(read_only))
    return state, reasons


def replace_pods(
    cluster: Cluster, uids: Collection[str], *, read_only: bool, limit_seconds: float, because: str
) -> int:
    """Replace these pods, as far as they are still there.

    One after another, so that the registry goes on serving; and by deleting them: the Deployment makes new ones. ``oc
    rollout restart`` changes the Deployment's template, which is the registry's operator's to write: it puts it back,
    and the rollout may end before it has replaced every pod.

    :param uids: of the pods.
    :param read_only: the registry's present mode.
    :param limit_seconds: for all of them together.
    :param because: goes to the log for each pod.
    :return: how many were replaced.
    :raises NotSettledError: if a new pod does not get ready; the remaining ones are left alone.
    """
    deadline = time.monotonic() + limit_seconds
    replaced = 0
    for uid in uids:
        pods = {pod.uid: pod for pod in cluster.registry_state().pods if not pod.ended}
        if uid not in pods:
            continue
        log.info("Replacing pod %s: it %s", pods[uid].name, because)
        cluster.delete_pod(pods[uid].name, uid=uid)
        wait_until_settled(
            cluster,
            read_only=read_only,
            limit_seconds=max(deadline - time.monotonic(), 1.0),
            without_pod=uid,
            gives_up_what_is_lost=True,
        )
        replaced += 1
    return replaced
