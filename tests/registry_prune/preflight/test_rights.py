"""Least rights: with the deployed rules all is allowed, and without any one of them somebody names it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import config

from include.registry_prune import in_cluster_guard
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.names import GUARD_NAME, GUARD_NAMESPACE
from include.registry_prune.preflight.access import (
    BASE_PRUNE,
    EVENTS,
    GUARD,
    LOOK,
    ROLE,
    WINDOW,
    AccessError,
    Permission,
    missing_permissions,
    needed_permissions,
    review_access,
)
from sandbox.cluster import Sandbox
from tests.registry_prune.conftest import PROJECT, kubectl, start_sandbox
from tests.registry_prune.preflight.test_access import grants

DEPLOY = PROJECT / "deploy"
EVERYTHING = needed_permissions({"role": True, "base_prune": True, "restart": True, "window": True})
SEES_GUARD = Permission(verb="get", group="batch", resource="cronjobs", namespace=GUARD_NAMESPACE, name=GUARD_NAME)
Rule = tuple[str, str, int]
"""Of a role: its namespace, empty for a ClusterRole, and its name; the rule's number."""


def roles_in(file: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The rules of each role of a manifest, by the role's namespace and name."""
    documents = yaml.safe_load_all((DEPLOY / file).read_text(encoding="utf-8"))
    return {
        (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each["rules"]
        for each in documents
        if each["kind"] in ("Role", "ClusterRole")
    }


def rules_in(file: str) -> list[Rule]:
    return [(*role, number) for role, rules in roles_in(file).items() for number in range(len(rules))]


def text(rule: Rule) -> str:
    namespace, name, number = rule
    file = "guard.yaml" if name == "registry-guard" else "rbac.yaml"
    shown = roles_in(file)[namespace, name][number]
    return f"{namespace or 'cluster'} {' '.join(shown['resources'])} {' '.join(shown['verbs'])}"


def of_rule(file: str, rule: Rule, asked: tuple[Permission, ...]) -> list[Permission]:
    """What is allowed by this rule and no other."""
    namespace, name, number = rule
    rules = roles_in(file)[namespace, name]
    others = rules[:number] + rules[number + 1 :]
    return [
        each
        for each in asked
        if each.namespace == namespace
        and grants(rules[number], each)
        and not any(grants(other, each) for other in others)
    ]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all tests here: each puts back what it takes away."""
    with start_sandbox(tmp_path_factory.mktemp("rights") / "sandbox") as running:
        for file in ("rbac.yaml", "guard.yaml"):
            kubectl(running.kubeconfig, "apply", "-f", str(DEPLOY / file))
        yield running


@pytest.fixture(scope="module")
def run_cluster(sandbox: Sandbox) -> Cluster:
    return connected(sandbox, "registry-prune")


def connected(sandbox: Sandbox, account: str) -> Cluster:
    return Cluster(config.new_client_from_config(str(sandbox.service_account_kubeconfig("registry-prune", account))))


@contextmanager
def without(sandbox: Sandbox, rule: Rule) -> Iterator[None]:
    """One rule is taken away from its role, in the cluster."""
    namespace, name, number = rule
    resource = "roles" if namespace else "clusterroles"
    kept: list[dict[str, Any]] = []

    def change(role: dict[str, Any]) -> None:
        if kept:
            role["rules"] = kept
        else:
            kept.extend(role["rules"])
            role["rules"] = kept[:number] + kept[number + 1 :]

    def write() -> None:
        group = "rbac.authorization.k8s.io"
        sandbox.call(lambda running: running.store.modify(f"{resource}.{group}", name, namespace or None, change))

    write()
    try:
        yield
    finally:
        write()


def review(cluster: Cluster) -> tuple[str, ...]:
    """What `verify_access` does; returns its notes."""
    return review_access(cluster, permissions=EVERYTHING, may_open_window=True).notes


def test_with_exactly_the_deployed_rules_everything_is_allowed(sandbox: Sandbox, run_cluster: Cluster) -> None:
    assert set(EVERYTHING) == {*LOOK, *ROLE, *BASE_PRUNE, *WINDOW}
    assert missing_permissions(run_cluster, (*EVERYTHING, *EVENTS, SEES_GUARD)) == []
    review(run_cluster)
    assert missing_permissions(connected(sandbox, "registry-guard"), (*GUARD, *EVENTS)) == []


@pytest.mark.parametrize("rule", rules_in("rbac.yaml"), ids=text)
def test_verify_access_names_exactly_the_rule_that_is_missing(
    sandbox: Sandbox, run_cluster: Cluster, rule: Rule
) -> None:
    """No rule of deploy/rbac.yaml is there for nothing, and none that is missing is found out in the window."""
    needed = of_rule("rbac.yaml", rule, EVERYTHING)
    optional = of_rule("rbac.yaml", rule, (*EVENTS, SEES_GUARD))
    assert needed or optional, "it is asked for by nobody"
    with without(sandbox, rule):
        assert missing_permissions(run_cluster, (*EVENTS, SEES_GUARD)) == optional
        if SEES_GUARD in optional:
            assert any("is not known" in note or "may not" in note for note in review(run_cluster))
        if needed:
            with pytest.raises(AccessError) as error:
                review(run_cluster)
            named = [line[4:] for line in str(error.value).splitlines() if line.startswith("  - ")]
            assert named == [each.rule() for each in needed]
    assert missing_permissions(run_cluster, EVERYTHING) == []


@pytest.fixture
def guard_round(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: Any) -> Any:
    """One round of the guard, as its pod does it; returns its exit status and what it said."""
    kubeconfig = yaml.safe_load(sandbox.service_account_kubeconfig("registry-prune", "registry-guard").read_text())
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    server = urlsplit(cluster["server"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    (tmp_path / "token").write_text(user["token"])
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))

    def run() -> tuple[int, str]:
        caplog.clear()
        caplog.set_level("INFO")
        return in_cluster_guard.main([f"--service-account-directory={tmp_path}"]), caplog.text

    return run


@pytest.mark.parametrize("rule", rules_in("guard.yaml"), ids=text)
def test_the_guard_names_exactly_the_rule_that_is_missing_before_a_window_needs_it(
    sandbox: Sandbox, guard_round: Any, rule: Rule
) -> None:
    """It can close one without Events: that it may not write any is said, and is no failure."""
    needed = of_rule("guard.yaml", rule, GUARD)
    optional = of_rule("guard.yaml", rule, EVENTS)
    assert needed or optional, "it is asked for by nobody"
    with without(sandbox, rule):
        status, said = guard_round()
    named = [line[4:] for line in said.splitlines() if line.startswith("  - ")]
    assert (status, named) == (1 if needed else 0, [each.rule() for each in (*needed, *optional)])


def test_a_guard_with_its_rights_is_content(guard_round: Any) -> None:
    status, said = guard_round()
    assert status == 0
    assert "lacks" not in said
