"""One sandbox in which one run meets one fault, and what faults are made of."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client, config

from faults import PROJECT
from faults.arena.guards import InClusterGuard, guard_round, kubectl
from faults.arena.observers import ReadOnlyClock
from faults.fault import Fault
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.names import EXACT_DELETE_LABEL
from include.registry_prune.pruner.exact_delete_pod import DELETE, exact_pod
from include.registry_prune.window.lease import ANNOTATION
from sandbox.base.names import CLUSTER, CONFIGS, DEPLOYMENT, NAMESPACE
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.registry.api import IMAGES as IMAGE_OBJECTS
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from sandbox.registry.storage.layout import StorageLayout
from sandbox.registry.verify.verify_storage import StorageCheck
from sandbox.server.faults import FaultRule

log = logging.getLogger(__name__)

ACCOUNT = "system:serviceaccount:registry-prune:registry-prune"
IMAGES, ORPHANS = 12, 60
SLOW_CHECK_SECONDS = 6.0
LEASE_SECONDS = 10
LONG_LEASE: dict[str, Any] = {"lease": "180s"}
"""Of runs that have to go on by themselves, however long it takes Airflow to notice that a task is gone."""
API_LIMIT_SECONDS = 120.0
SETTINGS: dict[str, Any] = {"lease": f"{LEASE_SECONDS}s", "settle_limit": "1m", "pruner_stop": "5s"}
"""Of the cluster, in place of quarters of an hour."""
CONF: dict[str, Any] = {"base_prune": False, "survey": False, "integrity_check": False, "min_blobs": 10}
"""Of the run: what is outside of the window is left out."""
ELSEWHERE_ID = "00000000-0000-4000-8000-000000000002"
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class HeldLease:
    """What the sweep has to know of a lease; of whatever version of the project it is."""

    holder: str
    expires_at: datetime

    @property
    def expired(self) -> bool:
        """Whether a guard may close its window."""
        return self.expires_at <= datetime.now(UTC)


class Arena:
    """A sandbox, who watches it, and the fault's hooks.

    :param folder: new and empty.
    """

    def __init__(self, folder: Path, fault: Fault[Any]) -> None:
        self.fault = fault
        settings = SandboxSettings.quick(**{"replicas": 2, "nodes": 5, **fault.sandbox})
        self.sandbox = Sandbox(folder, settings)
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.over = threading.Event()
        self.elsewhere: Sandbox | None = None
        """Another cluster, that the connection may come to point to."""
        self.named_once: set[str] = set()
        """What Images named right before these were gone."""
        self.reported: dict[str, Any] | None = None
        self.failures: list[str] = []
        """What went wrong with the sweep itself, in words."""
        self._folder = folder
        self._hits: list[Callable[[], bool]] = []
        self._threads: list[threading.Thread] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self.sandbox)
            needed = self.sandbox.seed(SeedPlan(images=IMAGES, orphans=ORPHANS)).needed
            self.orphans = self.sandbox.stored_digests() - needed
            _let_in(self.sandbox)
            self._in_cluster_guard = InClusterGuard(self.sandbox.kubeconfig)
            if self.fault.in_cluster_guard:
                self._in_cluster_guard.install()
            self.account = self.sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
            self.cluster = Cluster(config.new_client_from_config(str(self.account)))
            self.admin = Cluster(config.new_client_from_config(str(self.sandbox.kubeconfig)))
            if self.fault.slow_check:
                self._slow_down("check", SLOW_CHECK_SECONDS)
            elif self.fault.slow_delete:
                self._slow_down("delete", self.fault.delete_seconds)
            self.clock = stack.enter_context(ReadOnlyClock(self.sandbox))
            self.pusher = stack.enter_context(self.sandbox.pusher(0.4)) if self.sandbox.registry_addresses() else None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()
        self._stack.close()

    # --- what faults are made of

    def _slow_down(self, mode: str, seconds: float) -> None:
        """Every pruner of that mode that starts from now on takes its time."""
        self.sandbox.order_pruner(PrunerFaults(modes=(mode,), seconds_per_blob=seconds / ORPHANS))

    def hits(self, condition: Callable[[], bool]) -> None:
        """At the end this tells whether the fault hit."""
        self._hits.append(condition)

    def all_hit(self) -> bool:
        """Whether everything that was ordered has hit."""
        return all(met() for met in self._hits)

    def order_api(self, rule: FaultRule) -> None:
        """Order a fault of the API for the run's account; unmet, it did not hit."""
        times = rule.remaining or 1_000_000
        rule_id = self.sandbox.api_faults.add(replace(rule, user=ACCOUNT, remaining=times))

        def met() -> bool:
            left = {each["id"]: each["remaining"] for each in self.sandbox.api_faults.listed()}
            return bool(left.get(rule_id, 0) < times)

        self.hits(met)

    def order_exec(self, fault: ExecFault) -> None:
        """Order a fault of the next exec that matches; unmet, it did not hit."""
        self.sandbox.order_exec(fault)
        self.hits(lambda: fault.command not in [each["command"] for each in self.sandbox.exec_faults.listed()])

    def meanwhile(self, condition: Callable[[], bool], action: Callable[[], object]) -> None:
        """Do something as soon as a condition is true; if it never is, the fault did not hit."""
        done = threading.Event()
        self.hits(done.is_set)

        def work() -> None:
            try:
                while not condition():
                    if self.over.wait(POLL_SECONDS):
                        return
                action()
                done.set()
            except Exception as error:
                log.exception("The fault could not be injected")
                self.failures.append(f"the fault could not be injected: {error!r}")

        thread = threading.Thread(target=work, name="fault", daemon=True)
        self._threads.append(thread)
        thread.start()

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something after that time; at the end of everything, if that comes first."""

        def work() -> None:
            self.over.wait(seconds)
            action()

        thread = threading.Thread(target=work, name="fault, its end", daemon=True)
        self._threads.append(thread)
        thread.start()

    def patch_deployment(self, patch: dict[str, Any]) -> None:
        """Patch the registry's Deployment, as a cluster-admin."""
        admin = config.new_client_from_config(str(self.sandbox.kubeconfig))
        client.AppsV1Api(admin).patch_namespaced_deployment(DEPLOYMENT, NAMESPACE, patch)

    def start_elsewhere(self) -> None:
        """Start another cluster, with images of its own and nothing to prune."""
        settings = SandboxSettings.quick(replicas=1, nodes=3, real_registry=False)
        self.elsewhere = self._stack.enter_context(Sandbox(self._folder.with_name("elsewhere"), settings))
        self.elsewhere.set_cluster_id(ELSEWHERE_ID)
        self.elsewhere.seed(SeedPlan(images=4, orphans=0))
        _let_in(self.elsewhere)

    def note_named(self) -> None:
        """Note what Images name now, before they are gone: the registry has to keep these blobs all the same."""
        check = StorageCheck(StorageLayout(self.sandbox.state.storage))
        check.check(self.sandbox.list_objects(IMAGE_OBJECTS))
        self.named_once |= check.needed

    def pause(self, seconds: float) -> None:
        """Wait, at most to the end of everything."""
        self.over.wait(seconds)

    # --- points that the cluster shows

    def deleting_pod(self) -> str:
        """The pod of the last delete."""
        return str([each for each in self.sandbox.pruner_journal() if each.get("mode") == "delete"][-1]["pod"])

    def deleting(self) -> bool:
        """Whether a delete is in the middle of its work."""
        return self._at_work("delete")

    def deleting_by_list(self) -> bool:
        """Whether the pod of a delete by the list is at work, or waits for its list."""
        found = exact_pod(self.admin)
        return found is not None and found.purpose == DELETE and found.phase == "Running"

    def list_pod(self) -> dict[str, Any]:
        """The pod of the delete by the list."""
        return next(pod for pod in self.admin.pods(EXACT_DELETE_LABEL))

    def delete_list_pod(self) -> None:
        """A person deletes it."""
        pod = self.list_pod()["metadata"]
        self.admin.delete_pod(pod["name"], uid=pod["uid"], grace_seconds=1)

    def listing(self) -> bool:
        """Whether the dry run in the window is in the middle of its work."""
        return self.read_only_wanted() and self._at_work("check")

    def _at_work(self, mode: str) -> bool:
        begun = [each for each in self.sandbox.pruner_journal() if each.get("mode") == mode]
        return bool(begun) and time.time() - begun[-1]["time"] > 1.0 and self.sandbox.pruners_alive() > 0

    def read_only_wanted(self) -> bool:
        """Whether the window has been opened, and not closed yet."""
        return bool(self.sandbox.get_object(CONFIGS, CLUSTER)["spec"].get("readOnly"))

    def closing(self) -> bool:
        """Whether the window was open and ``readOnly`` is false again, the lease still there."""
        return '"closing_since"' in self._lease_text() and not self.read_only_wanted()

    def lease(self) -> HeldLease | None:
        """The lease that is there now; None if there is none."""
        text = self._lease_text()
        if not text:
            return None
        held = json.loads(text)
        return HeldLease(held["holder"], datetime.fromisoformat(held["expires_at"]))

    def _lease_text(self) -> str:
        annotations = self.sandbox.get_object(CONFIGS, CLUSTER)["metadata"].get("annotations") or {}
        return str(annotations.get(ANNOTATION, ""))

    # --- the end

    def report(self) -> dict[str, Any] | None:
        """The run's own report; None if it has none."""
        return self.reported

    def is_over(self, holder: str) -> bool:
        """Whether the run of a lease's holder has ended. The one in this process has, when anybody asks."""
        return True

    def close_elsewhere(self) -> None:
        """Let a guard look at the other cluster once, if there is one."""
        if self.elsewhere is not None:
            guard_round(Cluster(config.new_client_from_config(str(self.elsewhere.kubeconfig))))

    def await_api_server(self) -> None:
        """Wait until the cluster's API server is back, if it was taken away.

        :raises TimeoutError: it does not come back.
        """
        deadline = time.monotonic() + API_LIMIT_SECONDS
        while not self.sandbox.api_server_running:
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster's API server was not started again")
            time.sleep(POLL_SECONDS)

    def guard_round(self) -> None:
        """Let Airflow's guard look once."""
        guard_round(self.cluster)

    def guard_round_of_living_run(self) -> None:
        """Let Airflow's guard look once, which knows that the run is at work."""
        guard_round(self.cluster, over=False)

    def in_cluster_guard_round(self) -> None:
        """Let the guard in the cluster look once; it knows of the lease alone."""
        self._in_cluster_guard.round()

    def finish_run(self, run: str) -> str:
        """Let a run that got no further go on to its end, now that the window is closed; returns its last state."""
        return run


def _let_in(sandbox: Sandbox) -> None:
    """Give the project's account its rights."""
    rights = [
        word for name in ("rbac.yaml", "exact-delete-rbac.yaml") for word in ("-f", str(PROJECT / "deploy" / name))
    ]
    kubectl(sandbox.kubeconfig, "apply", *rights)
