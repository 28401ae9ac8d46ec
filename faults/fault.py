"""A fault, and what became of the run that met it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

A = TypeVar("A")
"""The arena in which the fault is prepared."""

NEVER_HIT = "the fault never hit"
"""A remark on an outcome."""


@dataclass(frozen=True)
class Fault(Generic[A]):
    """Something that goes wrong in one run.

    :param what: what goes wrong.
    :param point: in which task, and when in it.
    :param prepare: called before the run starts; puts the fault in its place.
    :param slow_delete: the delete takes some ten seconds, so that the fault can hit in the middle of it.
    :param delete_seconds: how long a slow delete takes, where it has to outlive the fault.
    :param slow_check: likewise the dry run.
    :param sandbox: settings of the sandbox that differ.
    :param settings: of the cluster, that differ.
    :param conf: of the run, that differs.
    :param clears_up: what the person who did it does after the run has told of it.
    :param in_cluster_guard: what the run leaves is closed by the Job of ``deploy/guard.yaml``, not by Airflow's guard.
    :param afterwards: what happens once the run has ended; then it is waited for again.
    :param entries: further entries of ``clusters.yaml``, by name.
    :param asked: the conditions that are looked at; None: all of them.
    :param run_seconds: how long the run is waited for.
    :param ends: how the run has to end; None if that does not matter.
    :param closed_by: who alone may have closed the window; None if that does not matter.
    """

    what: str
    point: str
    prepare: Callable[[A], None]
    slow_delete: bool = False
    delete_seconds: float = 9.0
    slow_check: bool = False
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    conf: Mapping[str, Any] = field(default_factory=dict)
    clears_up: Callable[[A], object] | None = None
    in_cluster_guard: bool = False
    afterwards: Callable[[A], object] | None = None
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: frozenset[str] | None = None
    run_seconds: float = 900.0
    ends: str | None = None
    closed_by: str | None = None

    @property
    def name(self) -> str:
        """What ``--only`` is matched with."""
        return f"{self.what}, {self.point}"


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    :param run: state of the DAG run.
    :param closed_by: who set the registry back: ``run``, ``guard`` (the DAG), ``guard in the cluster``, ``person``;
        ``-``: this run never made it read-only.
    :param conditions: by name; None if there was nothing to look at.
    :param read_only_seconds: how long the registry, or a pod of it, refused pushes.
    :param seconds: how long the whole took.
    :param remarks: what is wrong, in words.
    """

    fault: str
    point: str
    run: str
    closed_by: str
    conditions: Mapping[str, bool | None]
    read_only_seconds: float
    seconds: float
    remarks: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether no condition is false, and the fault really hit."""
        return not self.remarks and all(value is not False for value in self.conditions.values())
