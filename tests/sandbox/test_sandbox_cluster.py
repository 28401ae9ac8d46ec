"""The fixture ``Sandbox``: up quickly, one cluster for each, nothing left behind, whatever happens."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sandbox.base.errors import SandboxError
from sandbox.base.proc_files import pod_processes
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.seed.seed import SeedPlan
from sandbox.registry.verify.baseline import Baseline
from tests.sandbox.cluster_tools import Kubectl, eventually, names, wait_for_commands


def test_nothing_lives_after_an_exception(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    running = Sandbox(tmp_path / "sandbox")

    def fail_in_the_middle() -> None:
        with running:
            kubectl, pod = Kubectl(running.kubeconfig), names(running.registry_pods())[0]
            kubectl.shell(pod, "/usr/bin/setsid sleep 3040 >/dev/null 2>&1 &")
            wait_for_commands(running, "sleep 3040")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    assert not pod_processes(running.state.root)
    assert not running.kubeconfig.exists()
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name == "sandbox"]


def test_two_sandboxes_do_not_see_each_other(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "one") as one, Sandbox(tmp_path / "two") as two:
        one.configure_registry(readOnly=True)
        one.wait_until_settled()
        assert two.settled()
        assert two.url != one.url
        refused = Kubectl(one.kubeconfig).run("--server", two.url, "get", "pods")
        assert refused.returncode == 1


def test_a_folder_that_a_shell_would_take_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="characters that a shell would take apart"), Sandbox(tmp_path / "a b"):
        pass


def test_a_port_that_is_taken_is_said_so(sandbox: Sandbox, tmp_path: Path) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    other = Sandbox(tmp_path / "other", SandboxSettings.quick(port=port))
    with pytest.raises(SandboxError, match=f"port {port} of 127.0.0.1 is taken"), other:
        pass


def test_the_baseline_is_how_the_cluster_was(sandbox: Sandbox) -> None:
    baseline = Baseline.read(sandbox.state)
    assert baseline.read_only is False
    assert baseline.image_pruner["suspend"] is False
    binding = baseline.cluster_role_bindings["openshift-image-registry-pruner"]
    assert binding == {"role": "system:image-pruner", "subjects": ["ServiceAccount openshift-image-registry/pruner"]}


def test_the_documented_procedure_by_hand(sandbox: Sandbox, kubectl: Kubectl) -> None:
    sandbox.seed(SeedPlan(images=6, orphans=25))
    role, account = "--clusterrole=system:image-pruner", "--serviceaccount=openshift-image-registry:registry"
    refused = kubectl.run("exec", "deploy/image-registry", "--", "/usr/bin/dockerregistry", "-prune=check")
    assert (refused.returncode, "Would delete 0 blobs" in refused.stdout) == (1, True)
    kubectl("create", "clusterrolebinding", "grant", role, account)
    kubectl.patch_config(readOnly=True)
    sandbox.wait_until_settled()
    pod = names(sandbox.registry_pods())[0]
    assert "Would delete 25 blobs" in kubectl.shell(pod, "/usr/bin/dockerregistry -prune=check")
    assert not sandbox.verify().ok
    assert "Deleted 25 blobs" in kubectl.shell(pod, "/usr/bin/dockerregistry -prune=delete")
    kubectl("delete", "clusterrolebinding", "grant")
    kubectl.patch_config(readOnly=False)
    sandbox.wait_until_settled()
    report = sandbox.verify()
    assert (report.ok, report.orphans_left) == (True, 0), report.problems
    starts = [entry for entry in sandbox.pruner_journal() if entry["event"] == "start"]
    assert [(entry["mode"], entry["read_only"]) for entry in starts] == [
        ("check", False),
        ("check", True),
        ("delete", True),
    ]


def test_living_pruners_are_counted_and_die_with_their_pod(sandbox: Sandbox, kubectl: Kubectl, pod: str) -> None:
    sandbox.seed(SeedPlan(images=2, orphans=50))
    role, account = "--clusterrole=system:image-pruner", "--serviceaccount=openshift-image-registry:registry"
    kubectl("create", "clusterrolebinding", "grant", role, account)
    sandbox.order_pruner(PrunerFaults(seconds_per_blob=30))
    assert sandbox.pruners_alive() == 0
    kubectl.shell(pod, "/usr/bin/setsid /usr/bin/dockerregistry -prune=delete >/dev/null 2>&1 &")
    eventually(lambda: sandbox.pruners_alive() == 1, "the pruner is counted")
    kubectl("delete", "pod", pod)
    assert sandbox.pruners_alive() == 0
