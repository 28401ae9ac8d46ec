"""How many pods each ReplicaSet of a Deployment should have: the rolling update's arithmetic.

After ``pkg/controller/deployment`` of Kubernetes (``rolling.go``, ``util/deployment_util.go``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Replicas:
    """A ReplicaSet as far as the arithmetic goes.

    :param wanted: ``spec.replicas``.
    """

    name: str
    wanted: int
    present: int = 0
    ready: int = 0
    available: int = 0

    @classmethod
    def of(cls, replica_set: dict[str, Any]) -> Replicas:
        """From the API's object."""
        status = replica_set.get("status", {})
        return cls(
            name=replica_set["metadata"]["name"],
            wanted=replica_set["spec"].get("replicas", 0),
            present=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            available=status.get("availableReplicas", 0),
        )


@dataclass(frozen=True)
class Strategy:
    """Bounds of a rolling update, in pods.

    :param recreate: old pods go before new ones come.
    """

    wanted: int
    max_surge: int
    max_unavailable: int
    recreate: bool = False

    @classmethod
    def of(cls, deployment: dict[str, Any]) -> Strategy:
        """From the API's object; percentages of surge are rounded up, of unavailable pods down."""
        spec = deployment["spec"]
        wanted = spec.get("replicas", 1)
        strategy = spec.get("strategy", {})
        if strategy.get("type") == "Recreate":
            return cls(wanted, 0, wanted, recreate=True)
        rolling = strategy.get("rollingUpdate") or {}
        surge = _pods(rolling.get("maxSurge", "25%"), wanted, math.ceil)
        unavailable = _pods(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
        if surge == 0 and unavailable == 0:
            unavailable = 1
        return cls(wanted, surge, min(unavailable, wanted))


def _pods(value: int | str, wanted: int, rounded: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(wanted * int(value.removesuffix("%")) / 100))
    return int(value)


def scale_new(new: Replicas, old: Sequence[Replicas], strategy: Strategy) -> int:
    """How many pods the new ReplicaSet should have now."""
    if new.wanted >= strategy.wanted:
        return strategy.wanted
    if strategy.recreate:
        return new.wanted if any(found.present for found in old) else strategy.wanted
    total = new.wanted + sum(found.wanted for found in old)
    room = strategy.wanted + strategy.max_surge - total
    return new.wanted + max(min(room, strategy.wanted - new.wanted), 0)


def scale_old(new: Replicas, old: Sequence[Replicas], strategy: Strategy) -> dict[str, int]:
    """How many pods each old ReplicaSet should have now (those that change only), unready pods going first.

    :param old: oldest first.
    """
    if strategy.recreate:
        return {found.name: 0 for found in old if found.wanted}
    least = strategy.wanted - strategy.max_unavailable
    total = new.wanted + sum(found.wanted for found in old)
    spare = total - least - (new.wanted - new.available)
    if spare <= 0:
        return {}
    targets = {found.name: found for found in old}
    for found in old:
        unready = min(spare, max(found.wanted - found.available, 0))
        targets[found.name] = replace(found, wanted=found.wanted - unready)
        spare -= unready
    spare = new.available + sum(found.available for found in old) - least
    for found in targets.values():
        goes = max(min(spare, found.wanted), 0)
        targets[found.name] = replace(found, wanted=found.wanted - goes)
        spare -= goes
    return {found.name: targets[found.name].wanted for found in old if targets[found.name].wanted != found.wanted}
