"""What happens to a cluster, and what persons do in it, while a run works: actions on an arena."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from faults.arena import Arena
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.server.faults import FaultRule

Action = Callable[[Arena], object]


def orders_api(rule: FaultRule) -> Action:
    """The API server answers the run's account wrongly, late, or not at all."""
    return lambda arena: arena.order_api(rule)


def orders_exec(fault: ExecFault) -> Action:
    """The next exec that matches goes wrong."""
    return lambda arena: arena.order_exec(fault)


def both(*actions: Action) -> Action:
    """Several at once."""

    def act(arena: Arena) -> None:
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
    """The node of the pod that deletes, else of any registry pod, is silent for so long.

    :param power_off: what runs on it ends; otherwise it goes on.
    """

    def act(arena: Arena) -> None:
        name = arena.deleting_pod() if arena.deleting() else _running(arena)[0]
        [node] = [pod["spec"]["nodeName"] for pod in arena.sandbox.registry_pods() if pod["metadata"]["name"] == name]
        arena.sandbox.lose_node(node, power_off=power_off)
        arena.later(seconds, partial(arena.sandbox.return_node, node))

    return act


def operator_dead(seconds: float) -> Action:
    """The registry's operator does nothing for so long."""

    def act(arena: Arena) -> None:
        arena.sandbox.stop_operator()
        arena.later(seconds, arena.sandbox.start_operator)

    return act


def sets_read_only(value: bool) -> Action:
    """A person patches ``spec.readOnly``."""
    return lambda arena: arena.sandbox.configure_registry(readOnly=value)


def removes_lease(arena: Arena) -> None:
    """A person removes the annotation."""
    arena.admin.patch_config({"metadata": {"annotations": {"registry-prune/lease": None}}})


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
