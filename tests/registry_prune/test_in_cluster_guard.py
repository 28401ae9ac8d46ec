"""deploy/guard.yaml in the sandbox: a Job that really runs, with its own account and no Airflow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.preflight.access import missing_permissions, needed_permissions
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import PROJECT, kubectl
from tests.registry_prune.window.test_guard import HOLDER, assert_as_before, leave_window_open

READ_ONLY_ROOT = """
import errno, os, sys

def refuse(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes)) or os.fsdecode(arguments[0]).startswith("/dev/"):
        return
    if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise OSError(errno.EROFS, "Read-only file system", arguments[0])

sys.addaudithook(refuse)
"""
"""A Python that can open no file to write, as in a container with ``readOnlyRootFilesystem``."""


def guard_manifests(folder: Path) -> Path:
    """deploy/guard.yaml for the sandbox, whose pods have no image: this Python, with this project on its path."""
    (folder / "sitecustomize.py").write_text(READ_ONLY_ROOT)
    documents = list(yaml.safe_load_all((PROJECT / "deploy" / "guard.yaml").read_text()))
    for document in documents:
        if document["kind"] == "CronJob":
            container = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
            assert container["command"][0] == "python"
            container["command"][0] = sys.executable
            assert container["securityContext"]["readOnlyRootFilesystem"]
            container["env"] = [{"name": "PYTHONPATH", "value": f"{folder}:{PROJECT}"}]
    path = folder / "guard.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


@pytest.fixture
def guard_job(sandbox: Sandbox, account: Path, tmp_path: Path) -> Callable[..., str]:
    """Runs the in-cluster guard as a Job; returns its log."""
    kubectl(sandbox.kubeconfig, "apply", "-f", str(guard_manifests(tmp_path)))

    def run(name: str, ends: str = "Complete") -> str:
        namespace = "--namespace=registry-prune"
        kubectl(sandbox.kubeconfig, namespace, "create", "job", name, "--from=cronjob/registry-guard")
        kubectl(sandbox.kubeconfig, namespace, "wait", f"--for=condition={ends}", f"job/{name}", "--timeout=240s")
        return kubectl(sandbox.kubeconfig, namespace, "logs", f"job/{name}")

    return run


def test_the_guard_in_the_cluster_closes_a_window_with_its_own_account_alone(
    seeded: Sandbox, cluster: Cluster, guard_job: Callable[[str], str]
) -> None:
    """And an Event on the Config CR tells it, as no Airflow may be there to do so."""
    leave_window_open(cluster)
    log = guard_job("round-1")
    assert f"The guard closed the window of {HOLDER.run}" in log
    (event,) = events(seeded)
    assert (event["reason"], event["type"], event["count"]) == ("RegistryPruneGuard", "Warning", 1)
    assert event["involvedObject"]["kind"] == "Config"
    assert event["message"].startswith(f"The guard closed the window of {HOLDER.run}: its lease ran out")
    assert_as_before(seeded)
    assert "the registry takes pushes" in guard_job("round-2")
    assert len(events(seeded)) == 1, "a quiet round tells nothing"


def events(sandbox: Sandbox) -> list[dict[str, Any]]:
    return list(json.loads(kubectl(sandbox.kubeconfig, "get", "events", "-n", "default", "-o", "json"))["items"])


def test_a_guard_that_cannot_read_the_lease_says_so_in_an_event_and_one_without_the_right_in_its_log(
    sandbox: Sandbox, guard_job: Callable[..., str]
) -> None:
    kubectl(
        sandbox.kubeconfig, "annotate", "configs.imageregistry.operator.openshift.io/cluster",
        "registry-prune/lease=nonsense",
    )  # fmt: skip
    assert "The guard could not do its work" in guard_job("round-1", "Failed")
    (event,) = events(sandbox)
    assert event["message"].startswith("The guard could not do its work, the next round tries again: ")
    kubectl(sandbox.kubeconfig, "delete", "rolebinding", "registry-guard", "-n", "default")
    log = guard_job("round-2", "Failed")
    assert "The guard could not do its work" in log
    assert "No Event on Config cluster tells of it" in log
    assert events(sandbox) == [event]


def test_the_guard_in_the_cluster_leaves_a_run_alone_that_renews_its_lease(
    cluster: Cluster, guard_job: Callable[[str], str]
) -> None:
    leave_window_open(cluster, lasts=timedelta(hours=1))
    assert "is at work" in guard_job("round-1")
    assert cluster.registry_state().read_only


def test_the_guards_account_may_do_no_more_than_close_a_window(
    sandbox: Sandbox, account: Path, connect: Callable[[Path], Cluster], tmp_path: Path
) -> None:
    kubectl(sandbox.kubeconfig, "apply", "-f", str(guard_manifests(tmp_path)))
    as_guard = connect(sandbox.service_account_kubeconfig("registry-prune", "registry-guard"))
    everything = needed_permissions({"role": True, "base_prune": True, "window": True})
    missing = {
        f"{each.verb} {each.resource}{each.subresource and '/' + each.subresource}"
        for each in missing_permissions(as_guard, everything)
    }
    assert missing == {
        "list images", "watch images", "list imagestreams", "list builds", "get clusterversions",
        "list clusterrolebindings", "create clusterrolebindings", "bind clusterroles",
        "get cronjobs", "get jobs", "list jobs", "create jobs", "delete jobs", "get pods/log",
    }  # fmt: skip
