"""A lease that somebody wrote by hand, who may annotate the Config and nothing else: docs/security.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.registry_prune.cluster.cluster import SUSPENDED_BY
from include.registry_prune.cluster.role import OWNER_ANNOTATION
from include.registry_prune.deletion.detached_delete import start_command
from include.registry_prune.names import MANAGED_BY, OUR_BINDING
from include.registry_prune.pruner.exact_delete_pod import DELETE, ExactPod
from include.registry_prune.pruner.own_checks import CheckKind, new_check
from include.registry_prune.window import closing, guard
from include.registry_prune.window.config_lease import closed_windows, removal_patch
from include.registry_prune.window.guard_round import Found
from include.registry_prune.window.lease import (
    ANNOTATION,
    CLOSED_ANNOTATION,
    DeleteAttempt,
    Holder,
    Lease,
    LeaseError,
    attempt_name,
    check_may_arm,
    parse_lease,
)
from tests.registry_prune.window.test_closers import PlayedCluster, Turns, guard_in_the_cluster, lease, played

NOW = datetime.now(UTC)
FORGED = lease(opened=True, deleted=False, suspended_before=False)
"""Its time is over: every guard closes its window at once."""


def cluster_with(forged: Lease) -> PlayedCluster:
    return PlayedCluster(Turns(iter(())), forged, suspended_before=False)


def closed(cluster: PlayedCluster) -> dict[str, Any]:
    with played(cluster):
        guard_in_the_cluster(cluster)
    return cluster.end()


def test_no_guard_makes_a_registry_read_only() -> None:
    """Guards the one way of closing: a lease that says "it was read-only before" would have it set so for good."""
    end = closed(cluster_with(FORGED.model_copy(update={"read_only_before": True})))
    assert (end["read-only"], end["lease"]) == (False, None)


@pytest.mark.parametrize("mark", [{}, {SUSPENDED_BY: "another-1"}], ids=["a person's", "another window's"])
def test_an_image_pruner_that_this_window_did_not_suspend_stays_suspended(mark: dict[str, str]) -> None:
    """Guards the mark on the ImagePruner, where nobody can write who may annotate the Config alone."""
    cluster = cluster_with(FORGED)
    cluster._image_pruner["metadata"]["annotations"] = mark
    assert closed(cluster)["suspended"] is True


def test_no_guard_suspends_the_image_pruner() -> None:
    cluster = cluster_with(FORGED.model_copy(update={"image_pruner_suspended_before": True}))
    cluster._image_pruner["spec"]["suspend"] = False
    assert closed(cluster)["suspended"] is False


@pytest.mark.parametrize("said", [True, None])
def test_what_the_lease_says_does_not_keep_the_image_pruner_suspended(said: bool | None) -> None:
    """Guards base prunes: the mark of the window is on the ImagePruner."""
    assert closed(cluster_with(FORGED.model_copy(update={"image_pruner_suspended_before": said})))["suspended"] is False


OURS: dict[str, Any] = {
    "metadata": {"name": OUR_BINDING, "labels": MANAGED_BY, "annotations": {OWNER_ANNOTATION: "registry_prune/x run"}},
    "roleRef": {"kind": "ClusterRole", "name": "system:image-pruner"},
}


@pytest.mark.parametrize(
    "binding",
    [
        OURS | {"metadata": OURS["metadata"] | {"annotations": {OWNER_ANNOTATION: "registry_prune/y another"}}},
        OURS | {"metadata": OURS["metadata"] | {"labels": {}}},
        OURS | {"metadata": {"name": OUR_BINDING}},
        OURS | {"roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}},
        OURS | {"roleRef": {"kind": "Role", "name": "system:image-pruner"}},
    ],
    ids=["another run's", "no label", "a person's", "another role", "a role of a namespace"],
)
def test_a_role_binding_that_is_not_of_the_windows_run_stays(binding: dict[str, Any]) -> None:
    """Guards the look at the binding itself: the lease alone says `binding_ours`."""
    cluster = cluster_with(FORGED)
    cluster.binding = binding
    assert closed(cluster)["binding"] == binding


def test_the_role_binding_of_the_windows_run_goes() -> None:
    cluster = cluster_with(FORGED)
    cluster.binding = OURS
    assert closed(cluster)["binding"] is None


def test_an_exact_delete_is_ended_although_the_lease_does_not_tell_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the look for its pod: whoever edits `deletes_by_list` would have it work beside pushes."""
    found, ended = ExactPod(uid="1", purpose=DELETE), []
    monkeypatch.setattr(closing, "exact_pod", lambda cluster: found)
    monkeypatch.setattr(closing, "end_exact_pod", lambda cluster, pod: ended.append(pod))
    assert closed(cluster_with(FORGED))["read-only"] is False
    assert ended == [found]


FAR = {
    "its lease": {"expires_at": NOW + timedelta(days=400)},
    "its end": {"expires_at": NOW + timedelta(minutes=15), "must_end_by": NOW + timedelta(days=400)},
    "the end of time": {"expires_at": datetime.max.replace(tzinfo=UTC)},
}


@pytest.mark.parametrize("times", FAR.values(), ids=FAR.keys())
def test_a_lease_that_is_good_for_longer_than_any_run_asks_for_holds_nothing_up(times: dict[str, datetime]) -> None:
    """Guards `claims_too_much`: one annotation would keep every run away for good, or a dead run's window open."""
    forged = FORGED.model_copy(update=times)
    us = Holder(run="registry_prune/us", token="us-1")
    assert check_may_arm(forged, holder=us, closed=(), read_only=True, now=NOW) == forged
    assert "which no run asks for" in forged.end_text(NOW)
    assert closed(cluster_with(forged))["read-only"] is False


def test_a_lease_that_names_another_holder_lasts_no_longer_than_its_time() -> None:
    """No Airflow knows that run: until its time is over the window may be of another one's."""
    ends_at = datetime.now(UTC) + timedelta(minutes=15)
    forged = FORGED.model_copy(update={"holder": "registry_prune/nobody", "expires_at": ends_at})
    cluster = cluster_with(forged)
    with played(cluster):
        seen = guard.guard(cluster, limits=closing_limits(), run_is_over=lambda holder: False)  # type: ignore[arg-type]
    assert seen.found is Found.AT_WORK
    assert forged.expired(ends_at)


def closing_limits() -> closing.ClosingLimits:
    return closing.ClosingLimits(settle_seconds=1, stop_seconds=1, reopen_anyway_seconds=1)


ATTEMPT = DeleteAttempt(
    number=1, name=attempt_name(FORGED.token, 1), pod="image-registry-1", pod_uid="u", begun_at=NOW
).to_json()
VALID = FORGED.to_json()
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
WRONG = {
    "megabytes": VALID | {"holder": "x" * 2_000_000},
    "too long a holder": VALID | {"holder": "x" * 601},
    "many pods": VALID | {"pods_before_closing": ["pod"] * 20_000},
    "more that is not known": VALID | {"more": "x" * 70_000},
    "escapes in the holder": VALID | {"holder": f"registry_prune/{ESCAPE}"},
    "a line more": VALID | {"holder": "registry_prune/a\nThe registry takes pushes"},
    "text from right to left": VALID | {"run_url": "https://airflow.example.com/\u202egnp.exe"},
    "escapes in the token": VALID | {"token": ESCAPE},
    "a number": VALID | {"holder": 7},
    "a list": VALID | {"token": ["run-1"]},
    "a time that is none": VALID | {"expires_at": "never"},
    "not a number": VALID | {"expires_at": float("nan")},
    "an attempt elsewhere": VALID | {"attempt": ATTEMPT | {"name": "../../etc"}},
    "an attempt with a command": VALID | {"attempt": ATTEMPT | {"name": "$(reboot)"}},
    "an attempt for all": VALID | {"attempt": ATTEMPT | {"name": "*"}},
    "an attempt in a strange pod": VALID | {"attempt": ATTEMPT | {"pod": ESCAPE}},
    "less than nothing deleted": VALID | {"attempt": ATTEMPT | {"earlier": {"blobs": -1}}},
}


@pytest.mark.parametrize("forged", WRONG.values(), ids=WRONG.keys())
def test_what_no_run_writes_is_no_lease_and_is_shown_harmlessly(forged: dict[str, Any]) -> None:
    """Guards what goes on from the lease into logs, alerts, Events, commands in pods, and patches that may not grow
    beyond what the API server takes."""
    with pytest.raises(LeaseError) as error:
        parse_lease(json.dumps(forged, ensure_ascii=False))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2_500


def test_a_lease_as_runs_write_it_with_everything_in_it_is_one() -> None:
    full = VALID | {"attempt": ATTEMPT, "pods_before_closing": ["8f1f1f04-33cf-4f5c-8e6c-1d2f0a9b7c11"] * 300}
    assert parse_lease(json.dumps(full)) is not None


def test_closed_windows_that_somebody_made_up_do_not_grow() -> None:
    noted = " ".join(["y" * 100_000, *(f"made-up-{number}" for number in range(10_000))])
    config = {"metadata": {"annotations": {CLOSED_ANNOTATION: noted, ANNOTATION: FORGED.to_annotation()}}}
    assert "y" * 100_000 not in closed_windows(config)
    kept = removal_patch(config, FORGED)["metadata"]["annotations"][CLOSED_ANNOTATION]
    assert kept.split()[0] == FORGED.token
    assert len(kept) < 600


NASTY = "'; touch /tmp/owned; $(reboot) `id` \"&& | > * "


def test_what_a_person_typed_reaches_no_shell_but_as_a_word_of_its_own() -> None:
    """Guards the commands in pods: the scripts are the same whatever a run, a token or a lease is called."""
    plain, nasty = (start_command(attempt_name(text, 1), text, 1 << 20) for text in ("plain", NASTY))
    different = [(one, other) for one, other in zip(plain, nasty, strict=True) if one != other]
    assert different == [
        (f"HARD_PRUNE_ATTEMPT={attempt_name('plain', 1)}", f"HARD_PRUNE_ATTEMPT={attempt_name(NASTY, 1)}"),
        (attempt_name("plain", 1), attempt_name(NASTY, 1)),
        ("plain", NASTY),
    ]
    for name in (attempt_name(NASTY, 1), new_check(NASTY, CheckKind.DRY_RUN)):
        assert name.replace("-", "").isalnum()
