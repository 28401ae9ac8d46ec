"""Whether the cluster is in a state for a prune: what forbids it, what is only said, and what goes by itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from include.registry_prune.base_prune.job_run import active_jobs
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.registry_state import RegistryState, registry_state, unsettled
from include.registry_prune.names import DEPLOYMENT
from include.registry_prune.preflight.cluster_version import current_versions, update_under_way, version_problem
from include.registry_prune.preflight.right_moment import Obstacle
from include.registry_prune.preflight.storage import review_storage
from include.registry_prune.pruner.processes import living_pruners
from include.registry_prune.verdict.decision import Action
from include.registry_prune.window.builds import listed, route_hosts, running_pushes
from include.registry_prune.window.config_lease import held_lease, read_lease
from include.registry_prune.window.lease import LeaseError
from include.registry_prune.window.opening import check_may_arm_now


class Readiness(NamedTuple):
    """What one look at the cluster showed.

    :param problems: why the run may not go on, each in words with what to do.
    :param notes: what is worth saying and stops nothing.
    :param version: the cluster's version; empty if it is not known.
    :param storage: the registry's storage driver; empty if there is none.
    """

    registry: RegistryState
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    version: str
    storage: str


def look(cluster: Cluster, *, holder: str, may_open_window: bool, looks_into_storage: bool) -> Readiness:
    """Look for everything that forbids a prune.

    :param may_open_window: else what only forbids a delete is a note, and a window of somebody else is no matter.
    :param looks_into_storage: whether the run starts the pruner at all, if only for a survey.
    :raises ClusterError: if the cluster does not answer, or refuses an answer.
    """
    config, deployment = cluster.config(), cluster.deployment()
    # Pods last, so that nothing looks newer than it is.
    state = registry_state(config, deployment, cluster.pods())
    cluster_version = cluster.cluster_version()
    storage = review_storage(config, deployment)
    version_wrong = version_problem(cluster_version)
    forbids_delete = [*operator_problems(state), *([version_wrong] if version_wrong else []), *storage.problems]
    problems = state_problems(state)
    notes = [*operator_notes(state), *storage.notes]
    if may_open_window:
        problems += forbids_delete
    else:
        notes += [f"This run deletes nothing, but a hard prune would be refused: {each}" for each in forbids_delete]
    problems += _pruners_of_others(
        cluster, state, config, holder, may_open_window=may_open_window, looks_into_storage=looks_into_storage
    )
    update = update_under_way(cluster_version or {})
    versions = current_versions(cluster_version or {})
    return Readiness(
        registry=state,
        problems=tuple(problems),
        notes=(*notes, *([update] if update else [])),
        version=versions[0] if versions else "",
        storage=storage.driver,
    )


def _pruners_of_others(
    cluster: Cluster,
    state: RegistryState,
    config: dict[str, Any],
    holder: str,
    *,
    may_open_window: bool,
    looks_into_storage: bool,
) -> list[str]:
    """Another run's window, a registry that somebody else made read-only, a pruner that nobody knows of."""
    problems = []
    if may_open_window:
        try:
            dead = check_may_arm_now(config, holder=holder)
        except LeaseError as error:
            problems.append(str(error))
        else:
            if dead is not None or held_lease(config) is not None:
                # A dead run's window: arm_window closes it first, and ends what lives in it. This run's own, of an
                # earlier try: the delete that may live in it is this run's, and hard_prune follows it.
                return problems
    if looks_into_storage:
        problems += [
            f"A pruner is at work already, and two at once end each other: {each}. Let it end, or end it there."
            for each in living_pruners(cluster, state)
        ]
    return problems


def state_problems(state: RegistryState) -> list[str]:
    """Why a registry in this state cannot be pruned, each in words with what to do (pure)."""
    if state.management_state != "Managed":
        consequence = {
            "Unmanaged": "the operator would not carry readOnly on to the pods",
            "Removed": "there is no registry to prune",
        }.get(state.management_state, "the operator does not manage the registry")
        return [
            f"Config cluster: managementState is {state.management_state or 'not set'}: {consequence}. "
            "Set it to Managed, or pause this DAG for the cluster."
        ]
    if not state.deployment_found:
        return [f"Deployment {DEPLOYMENT} is not there although managementState is Managed: look at the operator."]
    if not state.ready_pods():
        pods = ", ".join(f"{pod.name} ({pod.phase})" for pod in state.pods) or "there is no pod at all"
        return [f"No registry pod is ready: {pods}. The pruner runs in one: repair the registry first."]
    return []


def operator_problems(state: RegistryState) -> list[str]:
    """What the operator complains of, with what to do (pure)."""
    complaints = [each for each in state.conditions if each.startswith(("Degraded=True", "Available=False"))]
    return [
        f"Config cluster: the operator says {complaint}. Put that right first: who knows whether the registry would "
        "come back from read-only."
        for complaint in complaints
    ]


def operator_notes(state: RegistryState) -> list[str]:
    """What the operator is doing (pure)."""
    return [
        f"Config cluster: the operator says {each}" for each in state.conditions if each.startswith("Progressing=True")
    ]


def obstacles(cluster: Cluster, *, running_builds: Action) -> list[Obstacle]:
    """What is in the way of opening the window right now, and goes by itself.

    :param running_builds: what follows if builds still run when the wait is over.
    """
    found = []
    if read_lease(cluster) is None:
        # With a lease the window is open or half closed, and arm_window goes on from there.
        reasons = unsettled(cluster.registry_state(), read_only=False)
        if reasons:
            text = f"the registry is not settled read-write, so it might not settle read-only: {'; '.join(reasons)}"
            found.append(Obstacle(text, Action.STOP))
    jobs = active_jobs(cluster)
    if jobs:
        found.append(Obstacle(f"a base prune is at work (Job {', '.join(jobs)})", Action.STOP))
    update = update_under_way(cluster.cluster_version() or {})
    if update:
        found.append(Obstacle(f"{update}: it drains the nodes that the pruner runs on", Action.SKIP))
    builds = running_pushes(cluster.builds(), route_hosts(cluster.config()))
    if builds:
        text = f"{listed(builds)} that will push to the registry would be lost"
        found.append(Obstacle(text, running_builds))
    return found
