"""Whoever closes a window, in whatever order and however they get into each other's way: the end is the same."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.cluster.cluster import SUSPENDED_BY
from include.registry_prune.cluster.error import ClusterError
from include.registry_prune.cluster.registry_state import PodState, RegistryState, Settled
from include.registry_prune.cluster.role import OWNER_ANNOTATION, revoke_role
from include.registry_prune.names import IMAGE_PRUNER_ROLE, MANAGED_BY, OUR_BINDING
from include.registry_prune.window import closing, guard
from include.registry_prune.window.closing import ClosingLimits, close_window
from include.registry_prune.window.config_lease import closed_windows
from include.registry_prune.window.lease import ANNOTATION, Holder, Lease

NOW = datetime.now(UTC)
HOLDER = Holder(run="registry_prune/manual", token="run-1")
RUN = "registry_prune/manual run"
RUN_LIMITS, OTHERS_LIMITS = (
    ClosingLimits(settle_seconds=1, stop_seconds=1, reopen_anyway_seconds=3600, revokes_role=revokes_role)
    for revokes_role in (False, True)
)


class DiedError(Exception):
    """A closer's process is gone."""


class Turns:
    """Lets some closers work as if at once: which of them sends its next request, ``chosen`` says each time.

    One works at a time, and stops before each request; so the same choices are the same run.
    """

    def __init__(self, chosen: Iterator[int]) -> None:
        self._chosen = chosen
        self._may_go: dict[threading.Thread, threading.Semaphore] = {}
        self._stopped = threading.Semaphore(0)
        self._left: dict[threading.Thread, int] = {}
        self.errors: list[BaseException] = []

    def before_request(self) -> None:
        """Stop here until it is this closer's turn; where nobody takes turns, go on."""
        me = threading.current_thread()
        if me not in self._may_go:
            return
        self._stopped.release()
        self._may_go[me].acquire()
        self._left[me] -= 1
        if self._left[me] < 0:
            raise DiedError

    def run(self, closers: list[tuple[Callable[[], object], int]]) -> None:
        """Let them work to their ends.

        :param closers: each with the number of requests after which it dies.
        """
        threads = [threading.Thread(target=self._work, args=(work,)) for work, _ in closers]
        for thread, (_, requests) in zip(threads, closers, strict=True):
            self._may_go[thread], self._left[thread] = threading.Semaphore(0), requests
            thread.start()
            self._stopped.acquire()
        while alive := [thread for thread in threads if thread in self._may_go]:
            self._may_go[alive[next(self._chosen) % len(alive)]].release()
            self._stopped.acquire()

    def _work(self, work: Callable[[], object]) -> None:
        self._stopped.release()
        me = threading.current_thread()
        self._may_go[me].acquire()
        try:
            work()
        except DiedError:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            del self._may_go[me]
            self._stopped.release()


class PlayedCluster:
    """A window that was opened, and what closing it needs of a cluster; every request is a turn."""

    def __init__(self, turns: Turns, lease: Lease, *, suspended_before: bool) -> None:
        self._turns = turns
        self._version = 1
        self._config: dict[str, Any] = {
            "metadata": {"annotations": {ANNOTATION: lease.to_annotation()}, "resourceVersion": "1"},
            "spec": {"readOnly": lease.opened_at is not None, "managementState": "Managed"},
        }
        self._image_pruner: dict[str, Any] = {
            "metadata": {
                "resourceVersion": "1",
                "annotations": {} if suspended_before else {SUSPENDED_BY: HOLDER.token},
            },
            "spec": {"suspend": True},
        }
        self.suspended_before = suspended_before
        self.binding: dict[str, Any] | None = {
            "metadata": {"name": OUR_BINDING, "labels": MANAGED_BY, "annotations": {OWNER_ANNOTATION: RUN}},
            "roleRef": {"kind": "ClusterRole", "name": IMAGE_PRUNER_ROLE},
        }
        self.pruner_lives = lease.delete_started_at is not None
        self.registry_pods: tuple[str, ...] = ("old-1", "old-2")
        self.beside_pushes = False

    def config(self) -> dict[str, Any]:
        self._turns.before_request()
        return copy.deepcopy(self._config)

    def patch_config(self, wanted: dict[str, Any], *, resource_version: str | None = None) -> dict[str, Any]:
        self._turns.before_request()
        _merge(self._config, wanted, resource_version)
        self.beside_pushes |= self.pruner_lives and not self._config["spec"]["readOnly"]
        return copy.deepcopy(self._config)

    def image_pruner(self) -> dict[str, Any]:
        self._turns.before_request()
        return copy.deepcopy(self._image_pruner)

    def suspend_image_pruner(
        self, suspend: bool, *, window: str | None = None, resource_version: str | None = None
    ) -> None:
        self._turns.before_request()
        patch = {"metadata": {"annotations": {SUSPENDED_BY: window}}, "spec": {"suspend": suspend}}
        _merge(self._image_pruner, patch, resource_version)

    def role_bindings(self) -> list[dict[str, Any]]:
        self._turns.before_request()
        return [self.binding] if self.binding else []

    def role_binding(self, name: str) -> dict[str, Any] | None:
        self._turns.before_request()
        return self.binding

    def pods(self, labels: str) -> list[dict[str, Any]]:
        self._turns.before_request()
        return []

    def delete_role_binding(self, name: str) -> bool:
        self._turns.before_request()
        was_there, self.binding = self.binding is not None, None
        return was_there

    def registry_state(self) -> RegistryState:
        self._turns.before_request()
        return RegistryState(
            read_only=self._config["spec"]["readOnly"],
            management_state="Managed",
            config_generation=1,
            config_observed_generation=1,
            pods=tuple(
                PodState(name=uid, uid=uid, read_only=self._config["spec"]["readOnly"], ready=True, phase="Running")
                for uid in self.registry_pods
            ),
        )

    # --- what the steps of closing do, in place of execs and watches

    def end_pruners(self, *_: Any, **__: Any) -> list[str]:
        self._turns.before_request()
        self.pruner_lives = False
        return []

    def wait_until_settled(self, *_: Any, **__: Any) -> Settled:
        self._turns.before_request()
        return Settled(read_only=False, seconds=1.0, pods=len(self.registry_pods))

    def replace_pods(self, _: Any, uids: list[str], **__: Any) -> None:
        for uid in uids:
            self._turns.before_request()
            self.registry_pods = tuple(f"{uid}, replaced" if each == uid else each for each in self.registry_pods)

    # --- the end

    def end(self) -> dict[str, Any]:
        """All that a window leaves behind."""
        annotations = self._config["metadata"]["annotations"]
        return {
            "read-only": self._config["spec"]["readOnly"],
            "lease": annotations.get(ANNOTATION),
            "closed": closed_windows(self._config),
            "suspended": self._image_pruner["spec"]["suspend"],
            "pods": self.registry_pods,
            "pruner": self.pruner_lives,
            "beside pushes": self.beside_pushes,
            "binding": self.binding,
        }


def _merge(stored: dict[str, Any], wanted: dict[str, Any], resource_version: str | None) -> None:
    version = stored["metadata"]["resourceVersion"]
    if resource_version is not None and resource_version != version:
        raise ClusterError("the object has been modified", 409)
    stored["spec"].update(wanted.get("spec", {}))
    for name, value in wanted.get("metadata", {}).get("annotations", {}).items():
        stored["metadata"]["annotations"][name] = value
        if value is None:
            del stored["metadata"]["annotations"][name]
    stored["metadata"]["resourceVersion"] = str(int(version) + 1)


@contextmanager
def played(cluster: PlayedCluster) -> Iterator[None]:
    with (
        patch.object(closing, "end_pruners", cluster.end_pruners),
        patch.object(closing, "wait_until_settled", cluster.wait_until_settled),
        patch.object(closing, "replace_pods", cluster.replace_pods),
        patch.object(guard, "_end_own_deletes", cluster.end_pruners),
    ):
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def the_run(cluster: Any) -> None:
    """restore_read_write, and then revoke_image_pruner."""
    close_window(cluster, holder=HOLDER, limits=RUN_LIMITS)
    revoke_role(cluster, owner=RUN)


def airflows_guard(cluster: Any) -> None:
    """It knows that the run is over; so does the first task of the next run."""
    guard.guard(cluster, limits=OTHERS_LIMITS, run_is_over=lambda holder: True)


def guard_in_the_cluster(cluster: Any) -> None:
    """It knows nothing of runs, but the lease has run out."""
    guard.guard(cluster, limits=OTHERS_LIMITS, run_is_over=lambda holder: False)


CLOSERS = {"run": the_run, "guard": airflows_guard, "in cluster": guard_in_the_cluster, "next run": airflows_guard}


def lease(*, opened: bool, deleted: bool, suspended_before: bool) -> Lease:
    begun = Lease(
        holder=HOLDER.run, token=HOLDER.token, armed_at=NOW - timedelta(hours=1), expires_at=NOW - timedelta(minutes=1),
        read_only_before=False, image_pruner_suspended_before=suspended_before, binding_ours=True,
    )  # fmt: skip
    begun = begun.opened(NOW - timedelta(minutes=50)) if opened else begun
    return begun.deleting(NOW - timedelta(minutes=40)) if deleted else begun


@given(data=st.data())
def test_whatever_order_the_closers_come_in_the_end_is_the_same(data: st.DataObject) -> None:
    """Guards every step of closing: each closer may be overtaken before each of its requests, and may die there. One
    that comes when all is over finds nothing left to do."""
    opened = data.draw(st.booleans(), label="opened")
    deleted = opened and data.draw(st.booleans(), label="a delete was begun")
    suspended_before = data.draw(st.booleans(), label="suspended before")
    names = data.draw(st.lists(st.sampled_from(sorted(CLOSERS)), min_size=1, max_size=4, unique=True), label="closers")
    lives = [data.draw(st.one_of(st.just(1000), st.integers(0, 15)), label=f"requests of {name}") for name in names]
    order = data.draw(st.lists(st.integers(0, 3), max_size=80), label="turns")

    def world() -> tuple[Turns, PlayedCluster]:
        turns = Turns(iter([*order, *range(100_000)]))
        begun = lease(opened=opened, deleted=deleted, suspended_before=suspended_before)
        return turns, PlayedCluster(turns, begun, suspended_before=suspended_before)

    _, alone = world()
    with played(alone):
        airflows_guard(alone)
    turns, together = world()
    with played(together):
        turns.run([(lambda work=CLOSERS[name]: work(together), life) for name, life in zip(names, lives, strict=True)])  # type: ignore[misc]
        guard_in_the_cluster(together)
        # The run takes its role back by itself; where it died before, the next one's first task does.
        with suppress(ClusterError):
            revoke_role(together)  # type: ignore[arg-type]
    assert turns.errors == []
    assert together.end() == alone.end()
    assert alone.end() == {
        "read-only": False, "lease": None, "closed": (HOLDER.token,), "suspended": suspended_before,
        "pods": tuple(f"old-{n}, replaced" if deleted else f"old-{n}" for n in (1, 2)),
        "pruner": False, "beside pushes": False, "binding": None,
    }  # fmt: skip


@pytest.mark.parametrize("first", CLOSERS)
def test_each_of_them_closes_it_alone(first: str) -> None:
    turns = Turns(iter(range(100_000)))
    cluster = PlayedCluster(turns, lease(opened=True, deleted=True, suspended_before=False), suspended_before=False)
    with played(cluster):
        turns.run([(lambda: CLOSERS[first](cluster), 1000)])
    assert turns.errors == []
    assert (cluster.end()["lease"], cluster.end()["read-only"], cluster.end()["binding"]) == (None, False, None)
