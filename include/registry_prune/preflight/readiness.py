"""Whether the cluster is in a state for a prune: what forbids it, what is only said, and what goes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from include.registry_prune.cluster.cluster import Cluster, cluster_id
from include.registry_prune.cluster.registry_state import RegistryState, registry_state, unsettled
from include.registry_prune.names import DEPLOYMENT, GUARD_NAME, GUARD_NAMESPACE
from include.registry_prune.preflight.cluster_version import current_versions, update_under_way, version_problem
from include.registry_prune.preflight.right_moment import Obstacle
from include.registry_prune.preflight.storage import review_storage
from include.registry_prune.verdict.decision import Action
from include.registry_prune.window.builds import listed, route_hosts, running_pushes
from include.registry_prune.window.config_lease import held_lease, read_lease
from include.registry_prune.window.in_the_way import in_the_way
from include.registry_prune.window.lease import Holder, LeaseError, read_only_of_others

GUARD_SEEN_WITHIN = timedelta(hours=1)
"""It looks every five minutes; a round that closes a window may take 40."""


class Readiness(NamedTuple):
    """What one look at the cluster showed.

    :param problems: why the run may not go on, each in words with what to do.
    :param notes: what is worth saying and stops nothing.
    :param cluster_id: the cluster's own id; empty if it does not tell.
    :param version: the cluster's version; empty if it is not known.
    :param storage: the registry's storage driver; empty if there is none.
    """

    registry: RegistryState
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    cluster_id: str
    version: str
    storage: str


def look(cluster: Cluster, *, may_open_window: bool) -> Readiness:
    """Look for everything about the cluster's state that forbids a prune; what works there: ``in_the_way``.


    :param may_open_window: else what only forbids a delete is a note, and a window of somebody else is no matter.
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
    if may_open_window:
        try:
            of_others = read_only_of_others(held_lease(config), read_only=state.read_only)
        except LeaseError as error:
            of_others = str(error)
        problems += [of_others] if of_others else []
    update = update_under_way(cluster_version or {})
    versions = current_versions(cluster_version or {})
    return Readiness(
        registry=state,
        problems=tuple(problems),
        notes=(*notes, *([update] if update else [])),
        cluster_id=cluster_id(cluster_version),
        version=versions[0] if versions else "",
        storage=storage.driver,
    )


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
        return [f"Deployment {DEPLOYMENT} is not there although managementState is Managed: is the operator at work?"]
    if not state.ready_pods():
        pods = ", ".join(f"{pod.name} ({pod.phase})" for pod in state.pods) or "there is no pod at all"
        return [f"No registry pod is ready: {pods}. The pruner runs in one: repair the registry first."]
    return []


def operator_problems(state: RegistryState) -> list[str]:
    """What the operator complains of, with what to do (pure)."""
    complaints = [each for each in state.conditions if each.startswith(("Degraded=True", "Available=False"))]
    return [
        f"Config cluster: the operator says {complaint}. Repair that first: the registry might not come back "
        "from read-only."
        for complaint in complaints
    ]


def operator_notes(state: RegistryState) -> list[str]:
    """What the operator is doing (pure)."""
    return [
        f"Config cluster: the operator says {each}" for each in state.conditions if each.startswith("Progressing=True")
    ]


def guard_notes(cron_job: Mapping[str, Any] | None, *, now: datetime) -> list[str]:
    """Why nobody in the cluster would close a window if Airflow were away (pure); nothing if a guard was seen lately.

    :param cron_job: of the guard in the cluster; None if there is none.
    """
    name = f"CronJob {GUARD_NAME} in namespace {GUARD_NAMESPACE}"
    consequence = "If Airflow itself is away while a window is open, the registry stays read-only."
    if cron_job is None:
        return [f"There is no guard in the cluster: {name} is not there. {consequence} Apply deploy/guard.yaml."]
    if cron_job["spec"].get("suspend"):
        return [f"The guard in the cluster is suspended: {name} has spec.suspend true. {consequence} Set it to false."]
    last = (cron_job.get("status") or {}).get("lastSuccessfulTime")
    # One that was applied a moment ago has had no round yet.
    seen = datetime.fromisoformat(last or cron_job["metadata"]["creationTimestamp"])
    if now - seen < GUARD_SEEN_WITHIN:
        return []
    ended_well = f"ended well last at {seen:%Y-%m-%d %H:%M:%S %Z}" if last else "has never ended well"
    return [
        f"The guard in the cluster was not seen lately: {name} {ended_well}. {consequence} Look at "
        f"`oc get pods,events -n {GUARD_NAMESPACE}`: can its image be pulled, and is it as old as this project?"
    ]


def obstacles(cluster: Cluster, *, holder: Holder, running_builds: Action) -> list[Obstacle]:
    """What is in the way of opening the window right now, and goes by itself.

    :param holder: the window that is to be opened.
    :param running_builds: what follows if builds still run when the wait is over.
    """
    found = []
    if read_lease(cluster) is None:
        # With a lease the window is open or half closed, and arm_window goes on from there.
        reasons = unsettled(cluster.registry_state(), read_only=False)
        if reasons:
            text = f"the registry is not settled read-write, so it might not settle read-only: {'; '.join(reasons)}"
            found.append(Obstacle(text, Action.STOP))
    found += [Obstacle(each, Action.STOP) for each in in_the_way(cluster, own=holder)]
    update = update_under_way(cluster.cluster_version() or {})
    if update:
        found.append(Obstacle(f"{update}: it drains the nodes that the pruner runs on", Action.SKIP))
    builds = running_pushes(cluster.builds(), route_hosts(cluster.config()))
    if builds:
        text = f"{listed(builds)} would lose {'its' if len(builds) == 1 else 'their'} push to the registry"
        found.append(Obstacle(text, running_builds))
    return found
