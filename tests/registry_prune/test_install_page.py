"""The commands of docs/install.md and of the pages that belong to it, as they stand there, against the sandbox."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubernetes import config

from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.preflight.access import missing_permissions, needed_permissions
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import PROJECT, kubectl
from tests.registry_prune.documented import blocks, run_as_typed
from tests.registry_prune.test_in_cluster_guard import guard_manifests
from tests.registry_prune.window.test_guard import leave_window_open

INSTALL = "docs/install.md"
ACCOUNT = "2. The account and its connection"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of the project whose guard needs no image."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "deploy", folder / "deploy")
    guard_manifests(folder / "deploy")
    return folder


def test_the_account_of_the_connection_has_every_right_of_a_run(sandbox: Sandbox, root: Path) -> None:
    account, connection, check = blocks(INSTALL, ACCOUNT)
    run_as_typed(account + connection, sandbox.kubeconfig, root)
    written = root / "connection.json"
    assert written.stat().st_mode & 0o077 == 0, "nobody else may read the token"
    kube_config = json.loads(written.read_text())["extra"]["kube_config"]
    cluster = Cluster(config.new_client_from_config_dict(kube_config))
    assert missing_permissions(cluster, needed_permissions({"role": True, "base_prune": True, "window": True})) == []
    by_list = needed_permissions({"exact_delete": True})
    assert [each.verb for each in missing_permissions(cluster, by_list)] == ["create"]
    run_as_typed("oc apply -f deploy/exact-delete-rbac.yaml", sandbox.kubeconfig, root)
    assert missing_permissions(cluster, by_list) == []
    assert run_as_typed(check, sandbox.kubeconfig, root).strip() == "yes"
    assert not (root / "account.json").exists()


def test_the_guard_is_tried_and_all_of_it_is_taken_away_again(sandbox: Sandbox, root: Path) -> None:
    (account, *_), (_, guard) = blocks(INSTALL, ACCOUNT), blocks(INSTALL, "3. The image, and the guard in the cluster")
    assert "the registry takes pushes" in run_as_typed(account + guard, sandbox.kubeconfig, root)
    (on_call,) = blocks("docs/on-call.md", "Let a guard close the window")
    assert "the registry takes pushes" in run_as_typed(on_call, sandbox.kubeconfig, root)
    (again,) = blocks("docs/upgrade.md", "In five steps")[1:]
    assert "registry-guard" in run_as_typed(again, sandbox.kubeconfig, root)
    look, away = blocks(INSTALL, "Take it away")
    assert run_as_typed(f"airflow() {{ echo $*; }}\n{look}", sandbox.kubeconfig, root) == "dags pause registry_prune\n"
    said = run_as_typed(away, sandbox.kubeconfig, root)
    assert 'namespace "registry-prune" deleted' in said


def test_no_lease_prints_nothing(sandbox: Sandbox) -> None:
    assert run_as_typed(blocks("docs/upgrade.md", "In five steps")[0], sandbox.kubeconfig) == ""


def test_secret_and_file_of_clusters_are_made_and_replaced(sandbox: Sandbox, root: Path) -> None:
    make, *_ = blocks(INSTALL, "With the official chart")
    (root / "connection.json").write_text("{}")
    (root / "clusters.yaml").write_text("default: {}\n")
    run_as_typed(make, sandbox.kubeconfig, root)
    assert not (root / "connection.json").exists()
    (root / "clusters.yaml").write_text("berlin: {}\n")
    (replace,) = blocks(INSTALL, "7. Every night")
    run_as_typed(replace, sandbox.kubeconfig, root)
    found = kubectl(sandbox.kubeconfig, "get", "configmap", "registry-prune-clusters", "-n", "airflow", "-o", "json")
    assert json.loads(found)["data"] == {"clusters.yaml": "berlin: {}\n"}


@pytest.mark.parametrize(
    ("page", "heading", "file"),
    [
        (INSTALL, "4. The clusters' file", "clusters.yaml"),
        ("docs/settings.md", "Check it before you put it in place", "new.yaml"),
    ],
)
def test_the_example_of_the_clusters_file_is_checked(tmp_path: Path, page: str, heading: str, file: str) -> None:
    (example,) = blocks(INSTALL, "4. The clusters' file", "yaml")
    (tmp_path / file).write_text(example)
    (check,) = blocks(page, heading)
    assert "nothing is wrong" in run_as_typed(check, tmp_path / "no-cluster", tmp_path)


def test_the_token_is_made_as_the_page_of_the_connection_says(sandbox: Sandbox) -> None:
    (make, _, expires) = blocks("docs/connection.md", "A token (recommended)")
    assert "clusterrole.rbac.authorization.k8s.io/registry-prune created" in run_as_typed(make, sandbox.kubeconfig)
    token, end = run_as_typed(expires, sandbox.kubeconfig).split()
    assert token
    assert datetime.fromisoformat(end) > datetime.now(UTC)
    (grant,) = blocks("docs/connection.md", "Airflow in the cluster itself")
    run_as_typed(grant, sandbox.kubeconfig)


LOOKS = (
    "oc get $CONFIG -o jsonpath='{.metadata.annotations.registry-prune/lease}' | python3 -m json.tool",
    "oc get configs.imageregistry.operator.openshift.io/cluster -o yaml",
    "oc describe configs.imageregistry.operator.openshift.io cluster",
    "oc describe pod -n registry-prune",
    "oc get cronjob,job -n registry-prune",
)


def test_a_look_that_a_text_names_works(sandbox: Sandbox, cluster: Cluster, root: Path) -> None:
    leave_window_open(cluster)
    kubectl(sandbox.kubeconfig, "apply", "-f", str(root / "deploy" / "guard.yaml"))
    said = [
        run_as_typed(f"CONFIG=configs.imageregistry.operator.openshift.io/cluster\n{look}", sandbox.kubeconfig)
        for look in LOOKS
    ]
    assert '"holder": ' in said[0]
    assert "readOnly: true" in said[1]
    assert "registry-prune/lease" in said[2]
    assert "cronjob.batch/registry-guard" in said[4]
