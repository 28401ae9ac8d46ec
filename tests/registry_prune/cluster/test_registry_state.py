"""Settled means that every pod, Terminating ones included, is in the wanted mode, and nothing less."""

from __future__ import annotations

from typing import Any

import pytest

from include.registry_prune.cluster.registry_state import PodState, RegistryState, is_read_only, pod_state, unsettled


def pod(name: str = "image-registry-new-1", **changes: Any) -> PodState:
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid of {name}",
        "read_only": True,
        "ready": True,
        "phase": "Running",
    }
    return PodState(**(fields | changes))


def old_pod(**changes: Any) -> PodState:
    return pod("image-registry-old-1", read_only=False, **changes)


NEW_PODS = (pod("image-registry-new-1"), pod("image-registry-new-2"))
SETTLED_READ_ONLY = RegistryState(
    read_only=True,
    management_state="Managed",
    config_generation=6,
    config_observed_generation=6,
    template_read_only=True,
    generation=4,
    observed_generation=4,
    replicas_wanted=2,
    replicas=2,
    updated_replicas=2,
    available_replicas=2,
    pods=NEW_PODS,
)
BEFORE = SETTLED_READ_ONLY.model_copy(
    update={
        "read_only": False,
        "template_read_only": False,
        "config_generation": 5,
        "config_observed_generation": 5,
        "pods": (old_pod(), pod("image-registry-old-2", read_only=False)),
    }
)


def state(base: RegistryState = SETTLED_READ_ONLY, **changes: Any) -> RegistryState:
    return base.model_copy(update=changes)


def test_the_settled_states() -> None:
    assert unsettled(SETTLED_READ_ONLY, read_only=True) == []
    assert unsettled(BEFORE, read_only=False) == []


# In each of these one rule alone speaks against it, so that none of them can be left out.
ONE_REASON = {
    "spec.readOnly is not what is wanted": (
        state(read_only=False),
        "Config cluster: spec.readOnly is false, so nothing is on its way to read-only",
    ),
    "the operator has not seen the patch": (
        state(config_observed_generation=5),
        "Config cluster: the operator has seen generation 5 of 6",
    ),
    "there is no Deployment": (
        state(deployment_found=False),
        "Deployment image-registry: not found (managementState is Managed)",
    ),
    "the template is in the other mode": (
        state(template_read_only=False),
        "Deployment image-registry: its template is read-write; managementState is Managed",
    ),
    "the Deployment's controller has not seen the template": (
        state(observed_generation=3),
        "Deployment image-registry: its controller has seen generation 3 of 4",
    ),
    "a replica too many": (state(replicas=3), "2 replicas wanted, 3 there, 2 updated, 2 available"),
    "a replica not updated": (state(updated_replicas=1), "2 replicas wanted, 2 there, 1 updated, 2 available"),
    "a replica not available": (state(available_replicas=1), "2 replicas wanted, 2 there, 2 updated, 1 available"),
    "an old pod still terminates": (
        state(pods=(*NEW_PODS, old_pod(terminating_since="2026-11-23T17:51:48Z"))),
        "pod image-registry-old-1: still read-write, Terminating since 2026-11-23T17:51:48Z",
    ),
    "an old pod that is not ready may be so again": (
        state(pods=(*NEW_PODS, old_pod(ready=False))),
        "pod image-registry-old-1: still read-write",
    ),
    "no pod": (state(pods=()), "no registry pod is ready"),
    "the only ready pods terminate": (state(pods=(pod(terminating_since="now"),)), "no registry pod is ready"),
}


@pytest.mark.parametrize(("seen", "reason"), ONE_REASON.values(), ids=ONE_REASON.keys())
def test_one_reason_is_enough(seen: RegistryState, reason: str) -> None:
    (only,) = unsettled(seen, read_only=True)
    assert reason in only


SETTLED_ALL_THE_SAME = {
    "an evicted old pod stays as an object": state(pods=(*NEW_PODS, old_pod(ready=False, ended=True, phase="Failed"))),
    "a completed old pod": state(pods=(*NEW_PODS, old_pod(ready=False, ended=True, phase="Succeeded"))),
    "a pod in the wanted mode terminates": state(pods=(*NEW_PODS, pod("extra", terminating_since="now"))),
    "a pod in the wanted mode is not ready, another is": state(pods=(pod("a", ready=False), pod("b"))),
    "one replica": state(replicas_wanted=1, replicas=1, updated_replicas=1, available_replicas=1, pods=NEW_PODS[:1]),
}


@pytest.mark.parametrize("seen", SETTLED_ALL_THE_SAME.values(), ids=SETTLED_ALL_THE_SAME.keys())
def test_what_does_not_speak_against_it(seen: RegistryState) -> None:
    assert unsettled(seen, read_only=True) == []


TROUBLE = {
    # 0.1 s after the patch everything reports success, for the old template.
    "right after the patch, observed by the operator": (
        state(BEFORE, read_only=True, config_generation=6, config_observed_generation=6),
        ["its template is read-write", "pod image-registry-old-1: still read-write", "pod image-registry-old-2"],
    ),
    "Unmanaged: accepted, observed, and nothing happens": (
        state(
            BEFORE,
            read_only=True,
            management_state="Unmanaged",
            config_generation=9,
            config_observed_generation=9,
        ),
        ["managementState is Unmanaged", "old-1: still read-write", "old-2: still read-write"],
    ),
    "Removed: there is nothing": (
        RegistryState(
            read_only=True, management_state="Removed", config_generation=12, config_observed_generation=12,
            deployment_found=False,
        ),
        ["Deployment image-registry: not found (managementState is Removed)"],
    ),
    "the operator is dead: the patch is accepted, everything looks done": (
        state(BEFORE, read_only=True, config_generation=6),
        ["the operator has seen generation 5 of 6", "its template is read-write", "old-1", "old-2"],
    ),
    "the operator is dead and the window is to be closed": (
        state(read_only=False, config_generation=7),
        ["the operator has seen generation 6 of 7", "its template is read-only", "new-1: still read-only", "new-2"],
    ),
    "new pods never get ready": (
        state(
            available_replicas=0,
            pods=(
                pod("a", ready=False, phase="Pending", waiting="ImagePullBackOff", not_ready_since="17:51:48"),
                pod("b", ready=False),
                pod("gone", ready=False, terminating_since="17:51:48"),
                old_pod(),
            ),
        ),
        [
            "2 updated, 0 available",
            "old-1: still read-write",
            "pod a: not ready (Pending, ImagePullBackOff), since 17:51:48",
            "pod b: not ready (Running)",
        ],
    ),
    "the only pod is not ready": (
        state(pods=(pod("a", ready=False),)),
        ["no registry pod is ready", "pod a: not ready (Running)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "reasons"), TROUBLE.values(), ids=TROUBLE.keys())
def test_what_was_seen_in_trouble_is_not_settled(seen: RegistryState, reasons: list[str]) -> None:
    found = unsettled(seen, read_only=seen.read_only)
    assert len(found) == len(reasons)
    for reason, part in zip(found, reasons, strict=True):
        assert part in reason


WAITING = {
    "its image cannot be pulled": (
        {"containerStatuses": [{"state": {"running": {}}}, {"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
        "ImagePullBackOff",
    ),
    "there is no node for it": (
        {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
        "Unschedulable",
    ),
    "its container runs": ({"containerStatuses": [{"state": {"running": {}}}]}, ""),
    "nothing is said yet": ({}, ""),
}


@pytest.mark.parametrize(("status", "waiting"), WAITING.values(), ids=WAITING.keys())
def test_why_a_pod_does_not_run_is_in_its_status(status: dict[str, Any], waiting: str) -> None:
    metadata = {"name": "a", "uid": "1", "creationTimestamp": "2026-11-23T17:51:48Z"}
    seen = pod_state({"metadata": metadata, "spec": {"containers": [{"name": "registry"}]}, "status": status})
    assert (seen.ready, seen.waiting, seen.not_ready_since) == (False, waiting, "2026-11-23T17:51:48Z")


def test_a_pod_is_not_ready_since_its_condition_has_changed() -> None:
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T18:00:00Z"}
    pod_object = {
        "metadata": {"name": "a", "uid": "1", "creationTimestamp": "2026-11-23T17:51:48Z"},
        "spec": {"containers": [{"name": "registry"}]},
        "status": {"conditions": [ready]},
    }
    assert pod_state(pod_object).not_ready_since == "2026-11-23T18:00:00Z"
    ready["status"] = "True"
    assert pod_state(pod_object).not_ready_since is None


@pytest.mark.parametrize(
    ("value", "read_only"),
    [
        ("{enabled: true}", True),
        ('{"enabled": true}', True),
        ("enabled: true", True),
        ("{enabled: false}", False),
        ('{enabled: "true"}', False),
        ("{}", False),
        ("true", False),
        ("", False),
        (None, False),
        ("{enabled: ", False),
        ("2001-13-01", False),
        ("[enabled]", False),
        ("\x00", False),
    ],
)
def test_the_environment_that_makes_a_registry_read_only(value: str | None, read_only: bool) -> None:
    variables = [
        {"name": "REGISTRY_LOG_LEVEL", "value": "info"},
        {"name": "REGISTRY_STORAGE_MAINTENANCE_READONLY", "value": value},
    ]
    assert is_read_only({"name": "registry", "env": variables}) is read_only


@pytest.mark.parametrize(
    "container",
    [
        {},
        {"env": None},
        {"env": []},
        {"env": [{"name": "REGISTRY_STORAGE_MAINTENANCE_READONLY"}]},
        {"env": [{"name": "REGISTRY_STORAGE_MAINTENANCE_READONLY", "valueFrom": {"fieldRef": {}}}]},
        {"env": [{"name": "REGISTRY_STORAGE_MAINTENANCE", "value": "{enabled: true}"}]},
    ],
)
def test_without_that_environment_it_takes_pushes(container: dict[str, Any]) -> None:
    assert not is_read_only(container)


def test_an_exec_relies_on_pods_that_are_ready_and_stay() -> None:
    pods = (
        pod("d"),
        pod("c", terminating_since="now"),
        pod("b", ready=False),
        pod("a", ended=True),
        pod("0"),
    )
    assert [each.name for each in state(pods=pods).ready_pods()] == ["0", "d"]
