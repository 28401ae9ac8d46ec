"""What happens to a cluster, and what persons do in it, while a run works: actions on an arena."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from faults.arena.arena import Arena
from faults.arena.guards import LIMITS, guard_round
from include.registry_prune.cluster.role import grant_role
from include.registry_prune.deletion.attempts import find_or_begin
from include.registry_prune.window.config_lease import change_own_lease
from include.registry_prune.window.lease import ANNOTATION, Holder
from include.registry_prune.window.opening import arm, open_window
from sandbox.base.names import CLUSTER, CONFIGS, CONTAINER, READ_ONLY_VARIABLE
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.object_storage.faults import StoreFault
from sandbox.server.faults import FaultRule

A = TypeVar("A", bound=Arena)
Action = Callable[[Arena], object]


def orders_api(rule: FaultRule) -> Action:
    """The API server answers the run's account wrongly, late, or not at all."""
    return lambda arena: arena.order_api(rule)


def orders_exec(fault: ExecFault) -> Action:
    """The next exec that matches goes wrong."""
    return lambda arena: arena.order_exec(fault)


def all_of(*actions: Callable[[A], object]) -> Callable[[A], None]:
    """One after the other."""

    def act(arena: A) -> None:
        for action in actions:
            action(arena)

    return act


def evict_pruner(arena: Arena) -> None:
    """The pod in which the delete works is evicted."""
    arena.sandbox.evict(arena.deleting_pod())


def evict_a_pod(arena: Arena) -> None:
    """A running registry pod is evicted."""
    arena.sandbox.evict(_running(arena)[0])


def _running(arena: Arena) -> list[str]:
    pods = arena.sandbox.registry_pods()
    return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]


def loses_node(seconds: float, *, power_off: bool = False) -> Action:
    """The node of the pod that deletes, or else of any registry pod, goes silent and comes back.

    :param seconds: until it comes back.
    :param power_off: what runs on it ends; otherwise it goes on.
    """

    def act(arena: Arena) -> None:
        name = arena.deleting_pod() if arena.deleting() else _running(arena)[0]
        [node] = [pod["spec"]["nodeName"] for pod in arena.sandbox.registry_pods() if pod["metadata"]["name"] == name]
        arena.sandbox.lose_node(node, power_off=power_off)
        arena.later(seconds, partial(arena.sandbox.return_node, node))

    return act


def loses_list_node(seconds: float, *, power_off: bool = False) -> Action:
    """The node on which the delete by the list works goes silent, and comes back; see :func:`loses_node`."""

    def act(arena: Arena) -> None:
        node = arena.list_pod()["spec"]["nodeName"]
        arena.sandbox.lose_node(node, power_off=power_off)
        arena.later(seconds, partial(arena.sandbox.return_node, node))

    return act


def slow_bucket(seconds: float) -> Action:
    """Each request to the registry's bucket takes so much longer from now on."""

    def act(arena: Arena) -> None:
        arena.sandbox.object_storage.faults.latency = seconds

    return act


def orders_storage(fault: StoreFault) -> Action:
    """The registry's bucket goes wrong."""
    return lambda arena: arena.sandbox.object_storage.faults.add(replace(fault))


def operator_dead(seconds: float) -> Action:
    """The registry's operator does nothing for that time."""

    def act(arena: Arena) -> None:
        arena.sandbox.stop_operator()
        arena.later(seconds, arena.sandbox.start_operator)

    return act


def api_server_away(seconds: float) -> Action:
    """The cluster's API server is killed, with every connection to it, and started again after that time."""

    def act(arena: Arena) -> None:
        arena.sandbox.stop_api_server()
        arena.later(seconds, arena.sandbox.start_api_server)

    return act


def edits_deployment(seconds: float) -> Action:
    """A person lets pods take pushes again without touching ``spec.readOnly``, as ``oc rollout undo`` does.

    The operator is Unmanaged for that time, and so does not undo it.
    """

    def act(arena: Arena) -> None:
        arena.sandbox.configure_registry(managementState="Unmanaged")
        container = {"name": CONTAINER, "env": [{"name": READ_ONLY_VARIABLE, "$patch": "delete"}]}
        arena.patch_deployment({"spec": {"template": {"spec": {"containers": [container]}}}})
        arena.later(seconds, partial(arena.sandbox.configure_registry, managementState="Managed"))

    return act


def guard_closes(arena: Arena) -> None:
    """A guard takes the run for gone and closes the window, beside whatever the run does."""
    arena.meanwhile(lambda: True, arena.guard_round)


def end_comes(arena: Arena) -> None:
    """The window's end comes, however far its lease was renewed, and a guard closes it beside whatever the run does."""
    lease = json.loads(arena.admin.config()["metadata"]["annotations"][ANNOTATION])
    annotations = {ANNOTATION: json.dumps({**lease, "must_end_by": datetime.now(UTC).isoformat()})}
    arena.admin.patch_config({"metadata": {"annotations": annotations}})
    arena.meanwhile(lambda: True, arena.guard_round_of_living_run)


def leaves_window(arena: Arena) -> None:
    """Another run has died in its window and left its delete at work; its lease has run out."""
    holder = Holder(run="registry_prune/dead", token="dead")
    grant_role(arena.cluster)
    arm(
        arena.cluster,
        holder=holder,
        run_url="",
        lasts=timedelta(minutes=5),
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=True,
        limits=LIMITS,
    )
    open_window(arena.cluster, holder=holder, limit_seconds=LIMITS.settle_seconds)
    find_or_begin(arena.cluster, holder=holder, attempts=1, log_bytes=1 << 20, settle_seconds=LIMITS.settle_seconds)
    change_own_lease(arena.cluster, holder, lambda lease: lease.renewed(datetime.now(UTC)))


def loses_media_type(arena: Arena) -> None:
    """An Image has no media type any more: the pruner takes its config for an orphan."""
    arena.sandbox.forget_media_types()


def loses_images(arena: Arena) -> None:
    """The API has no Images any more, as after a restore of an early backup of etcd."""
    arena.note_named()
    arena.sandbox.restore_empty_etcd()


def starts_build(arena: Arena) -> None:
    """A build works, and pushes after a few seconds."""
    arena.sandbox.start_build("shop", "meanwhile", seconds=5)


def opens_another_window(arena: Arena) -> None:
    """Another run has the window, and dies in it. If this run had it, a guard has taken it away first."""
    if arena.lease() is not None:
        guard_round(arena.cluster)
    holder = Holder(run="registry_prune/another", token="another")
    moment = timedelta(seconds=1)
    arm(
        arena.cluster,
        holder=holder,
        run_url="",
        lasts=moment,
        must_end_by=datetime.now(UTC) + timedelta(days=1),
        binding_ours=False,
        limits=LIMITS,
    )
    open_window(arena.cluster, holder=holder, limit_seconds=LIMITS.settle_seconds)


def replaces_config(arena: Arena) -> None:
    """One edit takes the lease away and sets ``readOnly`` to false, as ``oc replace`` of an older copy does."""

    def edit(config: dict[str, Any]) -> None:
        config["metadata"].pop("annotations", None)
        config["spec"]["readOnly"] = False

    arena.sandbox.call(lambda cluster: cluster.store.modify(CONFIGS, CLUSTER, None, edit))


def adds_to_lease(arena: Arena) -> None:
    """A newer version of the project has written a field into the lease that this guard does not know."""
    lease = json.loads(arena.admin.config()["metadata"]["annotations"][ANNOTATION])
    annotations = {ANNOTATION: json.dumps({**lease, "of_a_newer_version": "1"})}
    arena.admin.patch_config({"metadata": {"annotations": annotations}})


def sets_read_only(value: bool) -> Action:
    """A person patches ``spec.readOnly``."""
    return lambda arena: arena.sandbox.configure_registry(readOnly=value)


def removes_lease(arena: Arena) -> None:
    """A person removes the annotation."""
    arena.admin.patch_config({"metadata": {"annotations": {ANNOTATION: None}}})


def takes_over(arena: Arena) -> None:
    """A person removes the lease, and makes the registry read-only anew for a reason of his own."""
    removes_lease(arena)
    sets_read_only(False)(arena)
    arena.sandbox.wait_until_settled(30)
    sets_read_only(True)(arena)
    arena.sandbox.wait_until_settled(30)


def resumes_image_pruner(arena: Arena) -> None:
    """A person sets ``spec.suspend`` of the ImagePruner to false."""
    arena.admin.suspend_image_pruner(False)
