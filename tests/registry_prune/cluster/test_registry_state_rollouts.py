"""Rollouts of a real cluster, recorded moment by moment: when they were settled, and when others took them for done."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.cluster.registry_state import PodState, RegistryState, unsettled

TIMELINES = Path(__file__).parent / "timelines"


@dataclass(frozen=True)
class Moment:
    """A moment of a recorded timeline.

    :param done_for_others: what ``oc rollout status`` and ``oc wait`` for Progressing=False go by says "done".
    """

    seconds: float
    state: RegistryState
    done_for_others: bool


def number(line: str, key: str) -> int:
    """The value of ``key=…`` in a line; the client prints None for a count of zero."""
    found = re.search(rf"\b{key}=(\w+)", line)
    assert found, line
    return 0 if found.group(1) == "None" else int(found.group(1))


def deployment_fields(line: str) -> dict[str, Any]:
    return {
        "template_read_only": "READONLY={enabled: true}" in line,
        "generation": number(line, "generation"),
        "observed_generation": number(line, "observed"),
        "replicas": number(line, "replicas"),
        "updated_replicas": number(line, "updated"),
        "available_replicas": number(line, "available"),
    }


def replay(name: str, *, read_only_replica_set: str) -> list[Moment]:
    """Every moment of a recorded timeline: a line changes one object, the others stay as they were last seen."""
    fields: dict[str, Any] = {"management_state": "Managed", "replicas_wanted": 2}
    progressing, moments = True, []
    for line in (TIMELINES / name).read_text(encoding="utf-8").splitlines():
        seconds, _, what = line.strip().partition("s ")
        what = what.strip()
        if what.startswith("config:"):
            fields |= {
                "read_only": "readOnly=True" in what,
                "config_generation": number(what, "generation"),
                "config_observed_generation": number(what, "observedGeneration"),
            }
        elif what.startswith("deployment:"):
            fields |= deployment_fields(what)
        elif what.startswith("pods:"):
            fields["pods"] = tuple(recorded_pod(each, read_only_replica_set) for each in what.split()[1:])
        elif what.startswith("Progressing:"):
            progressing = "Progressing: True" in what
            if "Unmanaged" in what:
                fields["management_state"] = "Unmanaged"
        if {"read_only", "generation", "pods"} <= set(fields):
            seen = RegistryState(**fields)
            counts = {seen.replicas, seen.updated_replicas, seen.available_replicas}
            rolled_out = seen.observed_generation == seen.generation and counts == {seen.replicas_wanted}
            moments.append(Moment(float(seconds), seen, rolled_out and not progressing))
    return moments


def recorded_pod(text: str, read_only_replica_set: str) -> PodState:
    name, _, status = text.partition(":")
    phase, _, ready = status.partition("/")
    return PodState(
        name=name,
        uid=name,
        read_only=name.startswith(read_only_replica_set),
        ready=ready == "ready",
        terminating_since="then" if phase == "Terminating" else None,
        phase="Running" if phase == "Terminating" else phase,
    )


def settled_after(moments: list[Moment], *, read_only: bool) -> list[float]:
    return [
        moment.seconds
        for moment in moments
        if moment.state.read_only is read_only and not unsettled(moment.state, read_only=read_only)
    ]


def test_the_documented_procedure_settles_when_the_last_old_pod_is_gone() -> None:
    moments = replay("documented-procedure-timeline.txt", read_only_replica_set="7bd6b4ddf7")
    # Patched at 0.64 s and back at 45.82 s; the rollouts took 42.5 s each.
    read_only = settled_after(moments, read_only=True)
    assert (read_only[0], read_only[-1]) == (43.18, 43.24)
    assert settled_after([moment for moment in moments if moment.seconds > 45], read_only=False) == [88.44]


def test_on_five_nodes_all_is_reported_done_while_writable_pods_serve_on() -> None:
    moments = replay("rollout-5-nodes-timeline.txt", read_only_replica_set="7bd6b4ddf7")
    after_patch = [moment for moment in moments if moment.state.read_only]
    done = next(moment for moment in after_patch if moment.done_for_others and moment.state.template_read_only)
    assert done.seconds == 19.26
    reasons = unsettled(done.state, read_only=True)
    assert [reason.split(",")[0] for reason in reasons] == [
        "pod 6c64c6d799-w5fns: still read-write",
        "pod 6c64c6d799-xj6lt: still read-write",
    ]
    assert settled_after(moments, read_only=True) == [43.64]


def test_an_unmanaged_registry_never_settles() -> None:
    moments = replay("state-unmanaged-timeline.txt", read_only_replica_set="none")
    last = moments[-1]
    assert last.done_for_others
    assert last.state.read_only
    assert settled_after(moments, read_only=True) == []


RACES = (TIMELINES / "race-after-patch.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", [line for line in RACES if "returned 0" in line])
def test_what_oc_took_for_done_right_after_the_patch_is_not_settled(line: str) -> None:
    """Even if the operator had seen the patch, and the pods that were not looked at were all in the wanted mode."""
    wanted = "patch readOnly=true" in line
    updated, replicas = re.search(r"updated=(\d)/(\d)", line).groups()  # type: ignore[union-attr]
    seen = RegistryState(
        read_only=wanted,
        management_state="Managed",
        config_generation=1,
        config_observed_generation=1,
        template_read_only="READONLY={enabled: true}" in line,
        generation=number(line, "generation"),
        observed_generation=number(line, "observed"),
        replicas_wanted=2,
        replicas=int(replicas),
        updated_replicas=int(updated),
        available_replicas=2,
        pods=(PodState(name="new", uid="new", read_only=wanted, ready=True),),
    )
    reasons = unsettled(seen, read_only=wanted)
    assert len(reasons) == 1
    assert reasons[0].startswith("Deployment image-registry: ")


def test_ten_races_were_recorded() -> None:
    assert len([line for line in RACES if "returned 0" in line]) == 10
