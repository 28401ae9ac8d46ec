"""One sandbox in which one run meets one fault; at its end the conditions that always have to hold."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client, config

from faults.fault import Fault, Outcome
from faults.observers import ReadOnlyClock
from include.registry_prune.cluster import Cluster, ClusterError
from include.registry_prune.guard import guard
from include.registry_prune.pruner_processes import PrunerLivesError
from include.registry_prune.settling import NotSettledError
from include.registry_prune.window import ClosingLimits, read_lease
from sandbox.cluster import Sandbox
from sandbox.kubelet.exec_faults import ExecFault
from sandbox.names import CLUSTER, CONFIGS, NAMESPACE
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed import SeedPlan
from sandbox.server.faults import FaultRule
from sandbox.settings import SandboxSettings

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
ACCOUNT = "system:serviceaccount:registry-prune:registry-prune"
IMAGES, ORPHANS = 12, 60
SLOW_SECONDS_PER_BLOB = 0.15
"""60 orphans then take 9 seconds."""
LEASE_SECONDS = 10
SETTINGS: dict[str, Any] = {"lease": f"{LEASE_SECONDS}s", "settle_limit": "1m", "pruner_stop": "5s"}
"""Of the cluster, in place of quarters of an hour."""
CONF: dict[str, Any] = {"base_prune": False, "survey": False, "integrity_check": False, "min_blobs": 10}
"""Of the run: what is outside of the window is left out."""
LIMITS = ClosingLimits(settle_seconds=60, stop_seconds=5, reopen_anyway_seconds=600)
GUARD_LIMIT_SECONDS = 120.0
POLL_SECONDS = 0.02

CONDITIONS = ("read-write", "lease gone", "no pruner", "images whole", "no push beside", "as before")
"""Registry read-write and settled; lease gone; no pruner alive; every image whole, by digest; no push was accepted
while a pruner deleted; and everything else is as it was before the run."""


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
        self._injected: list[Callable[[], bool]] = []
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self.sandbox)
            self.sandbox.seed(SeedPlan(images=IMAGES, orphans=ORPHANS))
            self._apply_rbac()
            self.account = self.sandbox.service_account_kubeconfig("registry-prune", "registry-prune")
            self.cluster = Cluster(config.new_client_from_config(str(self.account)))
            self.admin = Cluster(config.new_client_from_config(str(self.sandbox.kubeconfig)))
            if self.fault.slow_delete:
                self.slow_delete()
            self.clock = stack.enter_context(ReadOnlyClock(self.sandbox))
            self.pusher = stack.enter_context(self.sandbox.pusher(0.2)) if self.sandbox.registry_addresses() else None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()
        self._stack.close()

    def _apply_rbac(self) -> None:
        kubectl = Path(sys.executable).parent / "kubectl"
        manifest = PROJECT / "deploy" / "rbac.yaml"
        cache = self.sandbox.kubeconfig.parent / "kubectl-cache"
        subprocess.run(
            [kubectl, f"--kubeconfig={self.sandbox.kubeconfig}", f"--cache-dir={cache}", "apply", "-f", manifest],
            check=True,
            capture_output=True,
            timeout=60,
        )

    # --- what faults are made of

    def slow_delete(self) -> None:
        """Every delete that starts from now on takes its time."""
        self.sandbox.order_pruner(PrunerFaults(modes=("delete",), seconds_per_blob=SLOW_SECONDS_PER_BLOB))

    def hits(self, condition: Callable[[], bool]) -> None:
        """At the end this tells whether the fault hit."""
        self._injected.append(condition)

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
        self.hits(lambda: self.sandbox.exec_faults.listed() == [])

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
                self._failures.append(f"the fault could not be injected: {error!r}")

        thread = threading.Thread(target=work, name="fault", daemon=True)
        self._threads.append(thread)
        thread.start()

    def pause(self, seconds: float) -> None:
        """Wait, at most to the end of everything."""
        self.over.wait(seconds)

    def deleting(self) -> bool:
        """Whether a delete is in the middle of its work."""
        orphaned = [each for each in self.sandbox.pruner_journal() if each.get("mode") == "delete"]
        return bool(orphaned) and time.time() - orphaned[-1]["time"] > 1.0 and self.sandbox.pruners_alive() > 0

    def read_only_wanted(self) -> bool:
        """Whether the window has been opened, and not closed yet."""
        return bool(self.sandbox.get_object(CONFIGS, CLUSTER)["spec"].get("readOnly"))

    def closing(self) -> bool:
        """Whether the window was open and ``readOnly`` is false again, the lease still there."""
        held = self.sandbox.get_object(CONFIGS, CLUSTER)
        annotations = held["metadata"].get("annotations") or {}
        lease = next((value for key, value in annotations.items() if "lease" in key), "")
        return '"closing_since"' in lease and not held["spec"].get("readOnly")

    # --- the end

    def conclude(self, run: str) -> Outcome:
        """Where the run left the window open, let the guard close it; then look.

        :param run: state of the run, which has ended or will not get any further.
        """
        closed_by = self._closed_by_run()
        if self.fault.clears_up is not None and run == "failed":
            self.fault.clears_up(self)
            closed_by = closed_by or "person"
        elif closed_by is None:
            self._let_guard_close()
            closed_by = "guard"
        run = self.finish_run(run)
        remarks = list(self._failures)
        if not all(met() for met in self._injected):
            remarks.append("the fault never hit")
        self.over.set()
        self._delete_failed_pods()
        with suppress(Exception):
            self.sandbox.wait_until_settled(30)
        conditions, problems = self._look()
        return Outcome(
            fault=self.fault.what,
            point=self.fault.point,
            run=run,
            closed_by=closed_by,
            conditions=conditions,
            read_only_seconds=round(self.clock.seconds, 1),
            seconds=round(time.monotonic() - self._started, 1),
            remarks=tuple(remarks + problems),
        )

    def _closed_by_run(self) -> str | None:
        if read_lease(self.admin) is not None or self.read_only_wanted():
            return None
        return "run" if self.clock.seconds else "-"

    def guard_round(self) -> None:
        """Let the guard look once; it knows that the run is over."""
        guard(self.cluster, limits=LIMITS, run_is_over=lambda _holder: True)

    def finish_run(self, run: str) -> str:
        """Let a run that got no further go on to its end, now that the window is closed; returns its last state."""
        return run

    def _let_guard_close(self) -> None:
        deadline = time.monotonic() + GUARD_LIMIT_SECONDS
        while time.monotonic() < deadline:
            try:
                self.guard_round()
            except (ClusterError, NotSettledError, PrunerLivesError) as error:
                log.warning("The guard's round failed: %s", error)
            if self._closed_by_run() is not None:
                return
            time.sleep(1)

    def _delete_failed_pods(self) -> None:
        """As a cluster's garbage collector does in the end."""
        api = client.CoreV1Api(config.new_client_from_config(str(self.sandbox.kubeconfig)))
        for pod in self.sandbox.registry_pods():
            if pod["status"].get("phase") == "Failed":
                api.delete_namespaced_pod(pod["metadata"]["name"], NAMESPACE)

    def _look(self) -> tuple[dict[str, bool | None], list[str]]:
        pruners = self.sandbox.pruners_alive()
        journal = self.sandbox.pruner_journal()
        if self.pusher is not None:
            self.pusher.stop()
        problems = list(self.sandbox.verify().problems)
        cluster_problems = [each for each in problems if each.split("/")[0] in _OBJECTS or "still runs" in each]
        storage_problems = [each for each in problems if each not in cluster_problems]
        beside = None if self.pusher is None else self.pusher.accepted_while(journal)
        writable = [each["pod"] for each in journal if each.get("mode") == "delete" and not each["read_only"]]
        if writable:
            problems.append(f"a delete ran in pods that took pushes: {', '.join(writable)}")
        if beside:
            problems.append(f"{len(beside)} pushes were accepted while a pruner deleted, the first in {beside[0].pod}")
        held = read_lease(self.admin) is not None
        conditions = {
            "read-write": not self.read_only_wanted() and self.sandbox.settled(),
            "lease gone": not held,
            "no pruner": pruners == 0,
            "images whole": not storage_problems,
            "no push beside": False if beside or writable else None if beside is None else True,
            "as before": not cluster_problems,
        }
        return conditions, problems


_OBJECTS = (CONFIGS, "clusterrolebindings", "imagepruners", "pods", "jobs")
