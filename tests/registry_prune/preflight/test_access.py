"""Who has the pruner's role already, what a run must be allowed to do, and which registry it can prune."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.registry_prune.cluster.registry_state import PodState, RegistryState
from include.registry_prune.cluster.role import covering_binding
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.preflight.access import (
    BASE_PRUNE,
    EVENTS,
    EXACT_DELETE,
    LOOK,
    ROLE,
    WINDOW,
    Permission,
    guard_namespace,
    needed_permissions,
    token_note,
    token_problem,
)
from include.registry_prune.preflight.readiness import state_problems

RBAC = Path(__file__).parents[3] / "deploy" / "rbac.yaml"
NAMESPACE = "openshift-image-registry"


def account(name: str = "registry", namespace: str = NAMESPACE) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def binding(
    *subjects: dict[str, str], name: str = "system:image-pruner", role: str = "system:image-pruner", kind: str = ""
) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind or "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


OPERATORS = binding(account("pruner"), name="openshift-image-registry-pruner")


@pytest.mark.parametrize(
    "covering",
    [
        binding(account()),
        binding(account(), name="system:image-pruner-0"),
        binding(account(), name="hard-prune"),
        binding(account("other"), account(), name="for both"),
        binding({"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:registry"}, name="by user name"),
        binding({"kind": "Group", "name": "system:serviceaccounts"}, name="all accounts"),
        binding({"kind": "Group", "name": f"system:serviceaccounts:{NAMESPACE}"}, name="the namespace's accounts"),
        binding({"kind": "Group", "name": "system:authenticated"}, name="everybody"),
    ],
    ids=lambda each: each["metadata"]["name"],
)
def test_whatever_its_name_a_binding_that_covers_the_account_is_found(covering: dict[str, Any]) -> None:
    assert covering_binding([OPERATORS, covering], "registry") == covering["metadata"]["name"]


@pytest.mark.parametrize(
    "other",
    [
        binding(account("pruner")),
        binding(account(namespace="default")),
        binding(account(), role="cluster-reader"),
        binding(account(), kind="Role"),
        binding(account(), name=OUR_BINDING),
        binding({"kind": "User", "name": "registry"}),
        binding({"kind": "Group", "name": "registry"}),
        binding({"kind": "Group", "name": "system:serviceaccounts:default"}),
        binding(),
        {**binding(), "subjects": None},
        {key: value for key, value in binding().items() if key != "subjects"},
    ],
)
def test_a_binding_that_does_not_cover_the_account_is_passed_over(other: dict[str, Any]) -> None:
    assert covering_binding([OPERATORS, other], "registry") is None


def test_a_permission_in_the_notation_of_rbac() -> None:
    permission = Permission(verb="create", group="", resource="pods", subresource="exec", namespace="ns")
    assert permission.rule() == '{apiGroups: [""], resources: ["pods/exec"], verbs: ["create"]} in namespace ns'
    assert permission.attributes() == {
        "verb": "create",
        "group": "",
        "resource": "pods",
        "subresource": "exec",
        "namespace": "ns",
    }


def test_a_permission_for_one_object_of_the_cluster() -> None:
    permission = Permission(
        verb="patch", group="imageregistry.operator.openshift.io", resource="configs", name="cluster"
    )
    assert permission.rule() == (
        '{apiGroups: ["imageregistry.operator.openshift.io"], resources: ["configs"], resourceNames: ["cluster"], '
        'verbs: ["patch"]} in a ClusterRole'
    )
    assert "namespace" not in permission.attributes()


def test_a_run_asks_for_what_it_will_do_and_no_more() -> None:
    assert needed_permissions({"role": False, "base_prune": False, "window": False}) == LOOK
    assert needed_permissions({"role": True, "base_prune": False, "window": False}) == LOOK + ROLE
    restart = needed_permissions({"role": False, "base_prune": False, "restart": True, "window": False})
    assert {(each.verb, each.resource) for each in set(restart) - set(LOOK)} == {
        ("watch", "configs"),
        ("watch", "deployments"),
        ("watch", "pods"),
        ("delete", "pods"),
    }
    everything = needed_permissions({"role": True, "base_prune": True, "restart": True, "window": True})
    assert set(everything) == {*LOOK, *ROLE, *BASE_PRUNE, *WINDOW}
    assert len(everything) == len(set(everything))


def grants(rule: dict[str, Any], permission: Permission) -> bool:
    resource = f"{permission.resource}/{permission.subresource}" if permission.subresource else permission.resource
    names = rule.get("resourceNames")
    return (
        permission.group in rule["apiGroups"]
        and resource in rule["resources"]
        and permission.verb in rule["verbs"]
        and (names is None or permission.name in names)
    )


@pytest.mark.parametrize("permission", [*LOOK, *ROLE, *BASE_PRUNE, *WINDOW, *EVENTS], ids=Permission.rule)
def test_the_deployed_role_has_every_permission(permission: Permission) -> None:
    kind = "Role" if permission.namespace else "ClusterRole"
    every = [each for each in yaml.safe_load_all(RBAC.read_text(encoding="utf-8")) if each["kind"] == kind]
    roles = [each for each in every if each["metadata"].get("namespace", "") == permission.namespace]
    assert len(roles) == 1
    assert any(grants(rule, permission) for role in roles for rule in role["rules"])


def test_the_deployed_role_grants_nothing_else() -> None:
    asked = {
        (each.group, f"{each.resource}/{each.subresource}".rstrip("/"), each.verb)
        for each in (*LOOK, *ROLE, *BASE_PRUNE, *WINDOW, *EVENTS)
    }
    granted = {
        (group, resource, verb)
        for document in yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))
        for rule in document.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == asked


def test_what_an_exact_delete_needs_is_in_a_file_of_its_own() -> None:
    """Guards the least rights: who may create pods in the registry's namespace may read its secrets."""
    documents = yaml.safe_load_all(RBAC.with_name("exact-delete-rbac.yaml").read_text(encoding="utf-8"))
    (role,) = (each for each in documents if each["kind"] == "Role")
    (rule,) = role["rules"]
    assert [each for each in EXACT_DELETE if not grants(rule, each)] == [
        each for each in EXACT_DELETE if each.subresource
    ]
    assert rule == {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


def registry(**changes: Any) -> RegistryState:
    fields: dict[str, Any] = {
        "read_only": False,
        "management_state": "Managed",
        "config_generation": 1,
        "config_observed_generation": 1,
        "pods": (PodState(name="image-registry-1", uid="1", read_only=False, ready=True, phase="Running"),),
    }
    return RegistryState(**(fields | changes))


def test_a_registry_that_can_be_pruned() -> None:
    assert state_problems(registry()) == []


PENDING = PodState(name="image-registry-2", uid="2", read_only=False, ready=False, phase="Pending")


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        (registry(management_state="Unmanaged"), ["managementState is Unmanaged", "would not carry readOnly on"]),
        (
            registry(management_state="Removed", deployment_found=False, pods=()),
            ["managementState is Removed", "there is no registry to prune", "or pause this DAG"],
        ),
        (registry(management_state=""), ["managementState is not set", "Set it to Managed"]),
        (registry(management_state="Forced"), ["managementState is Forced", "the operator does not manage"]),
        (registry(deployment_found=False), ["Deployment image-registry is not there", "is the operator at work?"]),
        (registry(pods=()), ["No registry pod is ready", "there is no pod at all"]),
        (registry(pods=(PENDING,)), ["No registry pod is ready: image-registry-2 (Pending)", "repair the registry"]),
    ],
)
def test_a_registry_that_cannot_be_pruned_and_why(state: RegistryState, parts: list[str]) -> None:
    (problem,) = state_problems(state)
    for part in parts:
        assert part in problem


@pytest.mark.parametrize(
    ("user", "namespace"),
    [
        ("system:serviceaccount:registry-prune:registry-prune", "registry-prune"),
        ("system:serviceaccount:production:registry-prune", "production"),
        ("system:serviceaccount:airflow:airflow-worker", "registry-prune"),
        ("kube:admin", "registry-prune"),
    ],
)
def test_the_guard_is_looked_for_beside_the_runs_account(user: str, namespace: str) -> None:
    assert guard_namespace(user) == namespace


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_a_token_that_ends_soon_is_told_of_and_one_that_ends_in_the_window_opens_none() -> None:
    """Guards the way back: with an expired token nobody but the guard in the cluster could close the window."""
    soon, later = NOON + timedelta(hours=4), NOON + timedelta(days=15)
    note = token_note(soon, now=NOON, warning=timedelta(days=14))
    assert note is not None
    assert "expires at 2026-11-26 16:00 UTC, in 0 days: renew it" in note
    problem = token_problem(soon, ends_by=NOON + timedelta(hours=4, minutes=15))
    assert problem is not None
    assert "this run opens none" in problem
    for expires in (later, None):
        assert token_note(expires, now=NOON, warning=timedelta(days=14)) is None
        assert token_problem(expires, ends_by=NOON + timedelta(hours=4, minutes=15)) is None
