"""How many pods a sandbox has and how long things take in it."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Self

from sandbox.base.storage_kinds import storage_spec

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Lag:
    """A delay that differs from time to time, in seconds."""

    shortest: float
    longest: float

    def seconds(self) -> float:
        """A delay between the shortest and the longest."""
        return random.uniform(self.shortest, self.longest)


@dataclass(frozen=True)
class SandboxSettings:
    """One sandbox's size and timings. All times are in seconds.

    :param replicas: pods of the registry (``spec.replicas`` of the registry's Config).
    :param nodes: worker nodes. Two registry pods never share a node, so their number decides how much of a
        rollout can happen at once: with two replicas, three nodes bring one new pod at a time, five both
        (``transcripts/cluster/documented-procedure-timeline.txt`` and ``rollout-5-nodes-timeline.txt``).
    :param port: of the API server; 0 takes a free one. It listens on 127.0.0.1 only.
    :param operator_lag: from an event to the operator's next look at it.
    :param controller_lag: the same for the controllers of Deployments, ReplicaSets, Jobs, and the scheduler.
    :param container_start: from the scheduling of a pod to its containers running.
    :param readiness: from a container's start to the success of its readiness probe.
    :param pre_stop: how long the registry pods' ``preStop`` hook takes.
    :param grace: ``terminationGracePeriodSeconds`` of the registry pods, a whole number.
    :param drain: how long a registry pod goes on serving after its ``preStop``, as it does while uploads are
        unfinished; cut short by ``grace``.
    :param restart_backoff: before the second restart of a container, doubled for each further one.
    :param job_backoff: before a Job's next pod after a failed one, doubled for each further one.
    :param prune_retry: unit of the base pruner's waits between its six attempts (1, 2 … 5 units), a whole number.
    :param node_monitor: after how long a silent node is found to be not ready.
    :param node_eviction: after how long the pods of such a node are deleted.
    :param progress_deadline: ``progressDeadlineSeconds`` of the registry's Deployment.
    :param real_registry: the registry pods run ``docker-registry`` and serve; False, they idle; None, they serve if
        it is installed.
    :param storage: of the registry, as Config and Deployment name it: ``pvc``, ``emptyDir``, ``s3``, ``swift``, or
        ``none``: then the registry is Removed at first, as after an installation without storage. With ``s3`` the
        blobs are in a bucket of an object storage that the sandbox serves; else in the state folder.
    :param storage_latency: seconds that every request to that object storage takes longer.
    :param shared_memory: False: nothing can be written to the pods' ``/dev/shm``.
    :param zombies: True: a process that has ended and whose parent has ended before stays in the pod as a zombie, as
        in a real registry pod, whose first process waits for nobody. ``kill -0`` succeeds on it, its command line is
        empty. While the sandbox is up, all orphans of this process's descendants become this process's own.
    """

    replicas: int = 2
    nodes: int = 3
    port: int = 0
    operator_lag: Lag = Lag(0.05, 0.2)
    controller_lag: Lag = Lag(0.01, 0.04)
    container_start: float = 0.05
    readiness: float = 0.2
    pre_stop: float = 0.3
    grace: int = 1
    drain: float = 0.0
    restart_backoff: float = 0.2
    job_backoff: float = 0.2
    prune_retry: int = 0
    node_monitor: float = 0.5
    node_eviction: float = 1.0
    progress_deadline: int = 120
    real_registry: bool | None = None
    storage: str = "pvc"
    storage_latency: float = 0.0
    shared_memory: bool = True
    zombies: bool = False

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"replicas is {self.replicas}; it has to be 0 or more")
        if self.nodes < 1:
            raise ValueError(f"nodes is {self.nodes}; a cluster needs at least one")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port is {self.port}; it has to be 0 (a free one) to 65535")
        storage_spec(self.storage)

    @classmethod
    def quick(cls, **changes: Any) -> Self:
        """For tests: a whole rollout takes about a second.

        :param changes: fields that differ.
        """
        return cls(**changes)

    @classmethod
    def real(cls, **changes: Any) -> Self:
        """What a real cluster takes (the timelines in ``transcripts/cluster``).

        :param changes: fields that differ.
        """
        timings: dict[str, Any] = {
            "operator_lag": Lag(0.1, 0.5),
            "controller_lag": Lag(0.02, 0.1),
            "container_start": 2.0,
            "readiness": 15.0,
            "pre_stop": 25.0,
            "grace": 55,
            "restart_backoff": 10.0,
            "job_backoff": 10.0,
            "prune_retry": 30,
            "node_monitor": 40.0,
            "node_eviction": 300.0,
        }
        return cls(**(timings | changes))

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The settings that :meth:`to_json` gave."""
        lags = {name: Lag(**values[name]) for name in ("operator_lag", "controller_lag")}
        return cls(**(values | lags))
