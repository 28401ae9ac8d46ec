"""The steps before the window: whose the role is that a run takes."""

from __future__ import annotations

from typing import Any

import pytest

from include.registry_prune.cluster.role import OWNER_ANNOTATION, covering_binding, owner_of
from include.registry_prune.names import OUR_BINDING
from include.registry_prune.run.run_context import Run
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.tasks.before_window import GrantImagePruner
from include.registry_prune.window.lease import Holder
from tests.registry_prune.tasks.test_window_binding import PlayedContext

US, ANOTHER = "dag/run run", "dag/another another"
"""Two runs by the names that they note in a role binding."""


class Roles:
    """A cluster's role bindings, and the account of its registry."""

    def __init__(self) -> None:
        self.bindings: dict[str, dict[str, Any]] = {}

    def deployment(self) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"serviceAccountName": "registry"}}}}

    def role_bindings(self) -> list[dict[str, Any]]:
        return list(self.bindings.values())

    def create_role_binding(self, binding: dict[str, Any]) -> None:
        self.bindings[binding["metadata"]["name"]] = binding

    def delete_role_binding(self, name: str) -> bool:
        return self.bindings.pop(name, None) is not None

    @property
    def owner(self) -> str | None:
        """Whose the project's binding is; None: there is none."""
        return owner_of(self.bindings[OUR_BINDING]) if self.bindings else None

    @owner.setter
    def owner(self, owner: str) -> None:
        self.bindings[OUR_BINDING]["metadata"]["annotations"][OWNER_ANNOTATION] = owner


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Roles:
    """Of a cluster on which every other run is at work."""
    roles = Roles()
    monkeypatch.setattr(Run, "cluster", roles)
    monkeypatch.setattr(Run, "is_over", lambda run, holder: False)
    return roles


def grant() -> bool:
    """Whether the role is this run's, to be taken away by it."""
    context: Any = PlayedContext("grant_image_pruner", {})
    granted = GrantImagePruner(task_id="grant_image_pruner", cluster=ClusterSettings()).execute(context)
    assert granted is not None
    return bool(granted["ours"])


def test_a_role_says_whose_it_is(roles: Roles) -> None:
    assert grant()
    assert roles.owner == US
    assert covering_binding(roles.role_bindings(), "registry") is None, "it is the project's own"


def test_a_role_of_another_run_at_work_is_not_taken_over(roles: Roles) -> None:
    """Guards the other run's dry run: whoever takes its role over takes it away at his own end."""
    grant()
    roles.owner = ANOTHER
    assert not grant()
    assert roles.owner == ANOTHER


def test_a_role_of_a_run_that_is_over_is_taken_over(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody takes it away."""
    grant()
    roles.owner = ANOTHER
    ended = Holder(run="dag/another", token="another-")
    monkeypatch.setattr(Run, "is_over", lambda run, holder: holder == ended)
    assert grant()
    assert roles.owner == US
