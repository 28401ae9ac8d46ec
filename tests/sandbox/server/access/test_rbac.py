"""Who may do what: 401, 403 in the real words, reviews, impersonation, and no rights out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.server.access.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC_GROUP, ROLE_BINDINGS, ROLES
from tests.sandbox.server.kubectl_program import Kubectl
from tests.sandbox.server.registry_objects import CONFIGS, REGISTRY
from tests.sandbox.server.running_server import Server

ACCOUNT = f"system:serviceaccount:{REGISTRY}:registry"
IMAGES = "images.image.openshift.io"


def rule(groups: str, resources: str, verbs: str, *names: str) -> dict[str, Any]:
    return {
        "apiGroups": groups.split(","),
        "resources": resources.split(","),
        "verbs": verbs.split(","),
        **({"resourceNames": list(names)} if names else {}),
    }


def grant(server: Server, subject: dict[str, str], *rules: dict[str, Any], namespace: str | None = None) -> None:
    """Give rules to a subject, in one namespace or everywhere."""

    def create() -> None:
        metadata = {"name": "granted", **({"namespace": namespace} if namespace else {})}
        kind = "Role" if namespace else "ClusterRole"
        server.store.create(ROLES if namespace else CLUSTER_ROLES, {"metadata": metadata, "rules": list(rules)})
        reference = {"apiGroup": RBAC_GROUP, "kind": kind, "name": "granted"}
        binding = {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
        server.store.create(ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS, binding)

    server.call(create)


ALICE = {"kind": "User", "name": "alice", "apiGroup": RBAC_GROUP}


@pytest.fixture
def alice(registry: Server, tmp_path: Path) -> Kubectl:
    """kubectl as a user who may do nothing yet."""
    return Kubectl(registry.user("alice", ("staff",)), tmp_path)


def refusal(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    done = kubectl.run(*arguments, stdin=stdin)
    assert done.returncode == 1, done.stdout
    return done.stderr.strip().removeprefix("Error from server (Forbidden): ")


def test_refusals_have_the_words_of_a_real_cluster(alice: Kubectl) -> None:
    assert refusal(alice, "get", f"{CONFIGS}/cluster") == (
        f'{CONFIGS} "cluster" is forbidden: User "alice" cannot get resource "configs" '
        'in API group "imageregistry.operator.openshift.io" at the cluster scope'
    )
    assert refusal(alice, "get", "images") == (
        f'{IMAGES} is forbidden: User "alice" cannot list resource "images" in API group "image.openshift.io" '
        "at the cluster scope"
    )
    assert refusal(alice, "get", "pods", "-n", REGISTRY) == (
        f'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "{REGISTRY}"'
    )
    assert refusal(alice, "get", "--raw", "/sandbox/faults") == (
        'forbidden: User "alice" cannot get path "/sandbox/faults"'
    )


def test_a_role_of_a_namespace_reaches_no_further(registry: Server, alice: Kubectl) -> None:
    grant(registry, ALICE, rule("", "pods", "get,list"), namespace=REGISTRY)
    assert "image-registry-a" in alice("get", "pods", "-n", REGISTRY)
    assert 'in the namespace "default"' in refusal(alice, "get", "pods", "-n", "default")
    assert "at the cluster scope" in refusal(alice, "get", "pods", "-A")
    assert "cannot delete" in refusal(alice, "delete", "pod", "image-registry-a", "-n", REGISTRY)


def test_resource_names_hold_for_lists_and_watches_of_that_name(registry: Server, alice: Kubectl) -> None:
    grant(registry, ALICE, rule("imageregistry.operator.openshift.io", "configs", "get,list,watch", "cluster"))
    alice("wait", f"{CONFIGS}/cluster", "--for=condition=Available", "--timeout=10s")
    assert "cannot list" in refusal(alice, "get", CONFIGS)


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "ServiceAccount", "namespace": REGISTRY, "name": "registry"},
        {"kind": "User", "name": ACCOUNT},
        {"kind": "Group", "name": f"system:serviceaccounts:{REGISTRY}"},
        {"kind": "Group", "name": "system:authenticated"},
    ],
    ids=lambda subject: f"{subject['kind']} {subject['name']}",
)
def test_service_accounts_are_found_by_every_kind_of_subject(
    registry: Server, tmp_path: Path, subject: dict[str, str]
) -> None:
    token = registry.authenticator.service_account_token(REGISTRY, "registry")
    account = Kubectl(registry.kubeconfig("registry", token), tmp_path)
    assert ACCOUNT in refusal(account, "get", "images")
    grant(registry, subject, rule("*", "images", "*"))
    assert account("get", "images") == ""


def test_a_right_is_gone_with_its_binding(registry: Server, alice: Kubectl) -> None:
    grant(registry, ALICE, rule("image.openshift.io", "images", "list"))
    alice("get", "images")
    registry.call(registry.store.delete, CLUSTER_ROLE_BINDINGS, "granted")
    assert "cannot list" in refusal(alice, "get", "images")


def test_can_i_and_whoami(registry: Server, alice: Kubectl, kubectl: Kubectl) -> None:
    grant(registry, ALICE, rule("", "pods,pods/exec", "create"), namespace=REGISTRY)
    in_registry = ("-n", REGISTRY)
    assert alice("auth", "can-i", "create", "pods", "--subresource=exec", *in_registry) == "yes\n"
    assert alice.run("auth", "can-i", "create", "pods/exec", "-n", "default").stdout == "no\n"
    assert alice.run("auth", "can-i", "delete", "pods", *in_registry).returncode == 1
    assert kubectl("auth", "can-i", "*", "*", "-A") == "yes\n"
    listed = alice("auth", "can-i", "--list", *in_registry)
    assert any(line.split() == ["pods/exec", "[]", "[]", "[create]"] for line in listed.splitlines())
    assert "alice" in alice("auth", "whoami")


def test_acting_as_somebody_else_is_for_who_may(registry: Server, alice: Kubectl, kubectl: Kubectl) -> None:
    assert f'User "{ACCOUNT}" cannot list' in refusal(kubectl, "get", "images", f"--as={ACCOUNT}")
    assert 'User "alice" cannot impersonate resource "users"' in refusal(alice, "get", "images", "--as=bob")


def test_a_binding_gives_no_more_than_its_writer_has(registry: Server, alice: Kubectl) -> None:
    def create_pruner_role() -> None:
        role = {"metadata": {"name": "pruner"}, "rules": [rule("image.openshift.io", "images", "delete,get")]}
        registry.store.create(CLUSTER_ROLES, role)

    registry.call(create_pruner_role)
    writes = rule(RBAC_GROUP, "clusterrolebindings,clusterroles", "create,update,patch,get")
    grant(registry, ALICE, writes, rule("image.openshift.io", "images", "get"))
    bind = ("create", "clusterrolebinding", "mine", "--clusterrole=pruner", "--user=alice")
    told = refusal(alice, *bind)
    assert "is attempting to grant RBAC permissions not currently held" in told
    assert '{APIGroups:["image.openshift.io"], Resources:["images"], Verbs:["delete"]}' in told
    assert "not currently held" in refusal(
        alice, "create", "clusterrole", "more", "--verb=delete", "--resource=secrets"
    )
    alice("create", "clusterrole", "less", "--verb=get", "--resource=images.image.openshift.io")

    def allow(role: dict[str, Any]) -> None:
        role["rules"].append(rule(RBAC_GROUP, "clusterroles", "bind", "pruner"))

    registry.call(registry.store.modify, CLUSTER_ROLES, "granted", None, allow)
    alice(*bind)
    assert alice("auth", "can-i", "delete", "images") == "yes\n"


def test_exec_needs_both_get_and_create(registry: Server, alice: Kubectl) -> None:
    grant(registry, ALICE, rule("", "pods", "get"), rule("", "pods/exec", "get"), namespace=REGISTRY)
    command = ("exec", "-n", REGISTRY, "image-registry-a", "--", "true")
    assert 'cannot create resource "pods/exec"' in refusal(alice, *command)
    registry.call(
        registry.store.modify,
        ROLES,
        "granted",
        REGISTRY,
        lambda role: role["rules"].append(rule("", "pods/exec", "create")),
    )
    assert alice(*command) == "registry: true\n"


def test_a_requested_token_is_that_of_the_account(registry: Server, kubectl: Kubectl, tmp_path: Path) -> None:
    token = kubectl("create", "token", "registry", "-n", REGISTRY, "--duration=10m").strip()
    account = Kubectl(registry.kubeconfig("registry", token), tmp_path)
    assert ACCOUNT in account("auth", "whoami")
    assert "10 minutes" in kubectl.run("create", "token", "registry", "-n", REGISTRY, "--duration=1m").stderr
    assert 'serviceaccounts "nosuch" not found' in kubectl.run("create", "token", "nosuch").stderr


def test_an_unknown_token_is_refused_but_version_and_health_are_for_all(registry: Server, tmp_path: Path) -> None:
    stranger = Kubectl(registry.kubeconfig("stranger", "nonsense"), tmp_path)
    assert "You must be logged in to the server" in stranger.run("get", "pods").stderr
    assert "v1.36" in stranger("version")
    assert stranger("get", "--raw", "/readyz") == "ok"
