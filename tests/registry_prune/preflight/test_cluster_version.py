"""OCPBUGS-102: which versions may be hard-pruned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.preflight.cluster_version import current_versions, update_under_way, version_problem


def at(*versions: str, state: str = "Completed") -> dict[str, Any]:
    """A ClusterVersion with a history that begins with the newest; all but the newest are complete."""
    history = [{"state": "Completed", "version": version} for version in versions]
    history[0] |= {"state": state, "startedTime": "2026-11-23T10:00:00Z"}
    return {"status": {"history": history}}


@pytest.mark.parametrize(
    "version",
    [
        "4.10.40",
        "4.10.67",
        "4.11.5",
        "4.11.59",
        "4.12.0",
        "4.12.74",
        "4.13.0-rc.2",
        "4.19.3",
        "4.22.1",
        "5.0.0",
        "v4.20.4",
        "4.20",
        "4.20.4+build.7",
        "4.10.0-0.nightly-2022-11-08-174205",
        "4.10.0-0.nightly-arm64-2022-10-27-043153",
        "4.11.0-0.okd-2022-10-15-073651",
        "4.12.0-0.okd-2023-02-04-212953",
        "4.12.0-0.okd-scos-2023-03-23-213604",
        "4.17.0-okd-scos.0",
        "4.23.0-0.ci.test-2026-11-01-101112-ci-op-abc-latest",
    ],
)
def test_a_version_that_keeps_the_configs_of_oci_images(version: str) -> None:
    assert version_problem(at(version)) is None


@pytest.mark.parametrize(
    "version",
    [
        "3.11.784",
        "4.1.0",
        "4.9.17",
        "4.9.59",
        "4.10.0",
        "4.10.39",
        "4.10.40-rc.0",
        "4.11.0",
        "4.11.4",
        "4.12.0-ec.1",
        "4.9.0-0.nightly-2026-01-01-000000",
        "4.10.0-0.okd-2022-07-09-073606",
        "4.10.0-0.nightly-2022-10-26-042816",
        "4.11.0-0.nightly-2022-09-06-225330",
        "4.11.0-0.okd-2022-08-20-022919",
        "4.12.0-0.nightly-2022-08-31-101631",
        "4.11.0-0.nightly-2022-19-41-000000",
    ],
)
def test_a_version_with_the_bug_is_refused_and_the_message_says_why_and_what_to_do(version: str) -> None:
    problem = version_problem(at(version))
    assert problem is not None
    for part in (version, "OCPBUGS-102", "OCI image", "4.10.40, 4.11.5 and 4.12.0", "hard_prune to never"):
        assert part in problem


@pytest.mark.parametrize("version", ["", "latest", "4", "four.ten", "4.x", "４.１０.５０", "4.10.50x"])
def test_a_version_that_cannot_be_read_is_refused(version: str) -> None:
    problem = version_problem(at(version))
    assert "cannot be read" in str(problem)
    assert "by hand" in str(problem)


def test_without_a_cluster_version_the_cluster_is_refused() -> None:
    assert "Is this an OpenShift cluster" in str(version_problem(None))


@pytest.mark.parametrize("cluster_version", [{}, {"status": None}, {"status": {"history": None}}])
def test_a_cluster_version_without_a_history_is_refused(cluster_version: dict[str, Any]) -> None:
    assert "no history yet" in str(version_problem(cluster_version))


def test_in_mid_update_the_version_that_is_left_counts_too() -> None:
    """The registry's pods may still be the old ones."""
    updating = at("4.10.40", "4.10.20", "4.9.17", state="Partial")
    assert current_versions(updating) == ("4.10.40", "4.10.20")
    assert "4.10.20 has OCPBUGS-102" in str(version_problem(updating))


def test_two_updates_that_were_broken_off_count_both() -> None:
    history = [
        {"state": "Partial", "version": "4.11.9"},
        {"state": "Partial", "version": "4.11.2"},
        {"state": "Completed", "version": "4.10.60"},
        {"state": "Completed", "version": "4.9.1"},
    ]
    assert "4.11.2 has OCPBUGS-102" in str(version_problem({"status": {"history": history}}))


def test_what_an_updated_cluster_once_was_does_not_matter() -> None:
    assert version_problem(at("4.16.3", "4.9.17")) is None


def test_an_update_that_is_under_way_is_said() -> None:
    assert update_under_way(at("4.16.3", "4.16.2")) is None
    assert update_under_way({}) is None
    said = update_under_way(at("4.16.3", "4.16.2", state="Partial"))
    assert said == "ClusterVersion version: an update to 4.16.3 is under way since 2026-11-23T10:00:00Z"


@given(version=st.text(max_size=40))
def test_any_text_gets_an_answer_and_only_a_version_is_let_through(version: str) -> None:
    if version_problem(at(version)) is None:
        assert version.removeprefix("v")[0].isdigit()


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_later_patch_release_is_never_worse(minor: int, patch: int) -> None:
    if version_problem(at(f"4.{minor}.{patch}")) is None:
        assert version_problem(at(f"4.{minor}.{patch + 1}")) is None
        assert version_problem(at(f"4.{minor + 1}.{patch}")) is None or minor in (10, 11)
