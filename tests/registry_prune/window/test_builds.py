"""Which builds push to the integrated registry, and which were hit by a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.window.builds import hit_by_window, listed, route_hosts, running_pushes

OPENED = datetime(2026, 11, 23, 22, 0, 0, 700_000, tzinfo=UTC)
CLOSED = OPENED + timedelta(minutes=10)
HERE = "image-registry.openshift-image-registry.svc:5000/shop/app:latest"


def build(
    name: str = "app-1",
    *,
    phase: str = "Running",
    kind: str = "ImageStreamTag",
    to: str = "app:latest",
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"output": {"to": {"kind": kind, "name": to}}},
        "status": {"phase": phase, **status},
    }


@pytest.mark.parametrize("phase", ["New", "Pending", "Running"])
def test_an_unfinished_build_counts(phase: str) -> None:
    assert running_pushes([build(phase=phase)]) == ["shop/app-1"]


@pytest.mark.parametrize("phase", ["Complete", "Failed", "Error", "Cancelled"])
def test_a_finished_build_does_not(phase: str) -> None:
    assert running_pushes([build(phase=phase)]) == []


@pytest.mark.parametrize(
    "reference",
    [
        HERE,
        "image-registry.openshift-image-registry.svc/shop/app",
        "image-registry.openshift-image-registry.svc.cluster.local:5000/shop/app",
        "default-route-openshift-image-registry.apps.berlin.test/shop/app:1",
        "images.berlin.test/shop/app",
    ],
)
def test_an_address_of_the_registry_counts(reference: str) -> None:
    hosts = route_hosts({"spec": {"routes": [{"name": "own", "hostname": "images.berlin.test"}, {"name": "unset"}]}})
    assert running_pushes([build(kind="DockerImage", to=reference)], hosts) == ["shop/app-1"]


@pytest.mark.parametrize(
    "reference",
    ["quay.io/shop/app:latest", "shop/app", "", "registry.test:5000/image-registry.openshift-image-registry.svc"],
)
def test_another_registry_does_not(reference: str) -> None:
    assert running_pushes([build(kind="DockerImage", to=reference)]) == []


def test_what_the_cluster_has_resolved_counts_more_than_what_was_asked_for() -> None:
    elsewhere = build(outputDockerImageReference="quay.io/shop/app:latest")
    here = build("app-2", kind="DockerImage", to="mirror.test/app", outputDockerImageReference=HERE)
    assert running_pushes([elsewhere, here]) == ["shop/app-2"]


@pytest.mark.parametrize("spec", [None, {}, {"output": None}, {"output": {}}, {"output": {"to": None}}])
def test_a_build_without_output_pushes_nothing(spec: Any) -> None:
    assert running_pushes([{**build(), "spec": spec}]) == []


def test_a_build_without_status_has_not_begun() -> None:
    assert running_pushes([{**build(), "status": None}]) == []


def failed(name: str, ended: datetime | None, reason: str = "PushImageToRegistryFailed", **rest: Any) -> dict[str, Any]:
    stamp = {} if ended is None else {"completionTimestamp": f"{ended:%Y-%m-%dT%H:%M:%SZ}"}
    return build(name, phase="Failed", reason=reason, **stamp, **rest)


def test_a_build_whose_push_failed_in_the_window_was_hit() -> None:
    minute = timedelta(minutes=1)
    builds = [
        failed("in-the-middle", OPENED + minute),
        failed("at-once", OPENED),  # the API server cuts the fraction of the second off
        failed("before", OPENED - minute),
        failed("after", CLOSED + minute),
        failed("not-ended", None),
        failed("of-another-cause", OPENED + minute, reason="GenericBuildFailed"),
        failed("to-another-registry", OPENED + minute, outputDockerImageReference="quay.io/shop/app"),
        build("complete", phase="Complete", completionTimestamp="2026-11-23T22:03:00Z"),
    ]
    hit = hit_by_window(builds, opened=OPENED, closed=CLOSED)
    assert (hit.count, hit.names) == (2, ("shop/at-once", "shop/in-the-middle"))


def test_the_names_do_not_grow_with_the_cluster() -> None:
    builds = [failed(f"app-{number:03}", OPENED) for number in range(100)]
    hit = hit_by_window(builds, opened=OPENED, closed=CLOSED)
    assert (hit.count, len(hit.names)) == (100, 20)
    text = listed(running_pushes(build(f"app-{number:03}") for number in range(100)))
    assert text.startswith("100 builds (shop/app-000, ")
    assert text.endswith("shop/app-019, …)")


def test_one_build_in_words() -> None:
    assert listed(["shop/app-1"]) == "1 build (shop/app-1)"
