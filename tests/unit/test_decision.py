"""From a dry run to a verdict: thresholds open the gate, ceilings stop the run whatever it was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from include.registry_prune.decision import Action, Mode, Thresholds, Verdict, decide
from include.registry_prune.dockerregistry import PrunerResult, Summary
from include.registry_prune.references import Hit, ReferenceAudit

GIB = 1024**3
THRESHOLDS = Thresholds(min_blobs=1000, min_bytes=2 * GIB)
CLEAN = ReferenceAudit(candidates=1000, images=300)
NAMED = ReferenceAudit(
    candidates=1000,
    images=300,
    hits=(Hit(digest="sha256:6591", role="config", image="sha256:e228", reference="registry/tx/empty@sha256:e228"),),
    hit_count=1,
)


def dry_run(blobs: int = 5000, size: int = 5 * GIB, **changes: Any) -> PrunerResult:
    fields: dict[str, Any] = {
        "mode": "check",
        "said": Summary(blobs=blobs, rounded_bytes=size),
        "counted_blobs": blobs,
        "exit_status": 0,
        "pod": "image-registry-1",
    }
    return PrunerResult(**(fields | changes))


@dataclass(frozen=True)
class Case:
    dry_run: PrunerResult
    action: Action
    reason: str
    mode: Mode = Mode.AUTO
    images: int = 300
    audit: ReferenceAudit | None = None


FORBIDDEN = dry_run(
    0, 0, exit_status=1, errors=("error listing images: images.image.openshift.io is forbidden",)
)  # "Would delete 0 blobs", and yet it failed
LOST = dry_run(exit_status=None, ended_how="the connection was lost")
CASES = {
    # The thresholds: either of the two opens the gate.
    "both reached": Case(dry_run(), Action.PRUNE, "5,000 orphaned blobs ≥ 1,000"),
    "blobs equal to the threshold": Case(dry_run(1000, 0), Action.PRUNE, "1,000 orphaned blobs ≥ 1,000"),
    "blobs one below": Case(dry_run(999, 0), Action.SKIP, "999 orphaned blobs < 1,000"),
    "blobs one above": Case(dry_run(1001, 0), Action.PRUNE, "1,001 orphaned blobs ≥ 1,000"),
    "size equal to the threshold": Case(dry_run(1, 2 * GIB), Action.PRUNE, "about 2 GiB ≥ 2 GiB"),
    "size one byte below": Case(dry_run(1, 2 * GIB - 1), Action.SKIP, "about 2 GiB < 2 GiB"),
    "size one byte above": Case(dry_run(1, 2 * GIB + 1), Action.PRUNE, "about 2 GiB ≥ 2 GiB"),
    "only blobs reached": Case(dry_run(1000, 1), Action.PRUNE, "about 1 B < 2 GiB"),
    "only size reached": Case(dry_run(999, 3 * GIB), Action.PRUNE, "999 orphaned blobs < 1,000"),
    "both one below": Case(dry_run(999, 2 * GIB - 1), Action.SKIP, "999 orphaned blobs < 1,000"),
    "a single blob": Case(dry_run(1, 38), Action.SKIP, "1 orphaned blob < 1,000"),
    "nothing": Case(dry_run(0, 0), Action.SKIP, "no orphaned blobs"),
    "one image only": Case(dry_run(), Action.PRUNE, "≥ 1,000", images=1),
    "a clean audit": Case(dry_run(), Action.PRUNE, "≥ 1,000", audit=CLEAN),
    "links are no garbage": Case(dry_run(0, 0, counted_manifest_links=9000), Action.SKIP, "no orphaned blobs"),
    "repositories alone are none": Case(dry_run(0, 0, counted_repositories=9), Action.SKIP, "no orphaned blobs"),
    "a warning does not stop": Case(dry_run(warnings=("Ignoring unrecognized …",)), Action.PRUNE, "≥ 1,000"),
    # Force ignores the thresholds.
    "force below both": Case(dry_run(1, 38), Action.PRUNE, "thresholds ignored", Mode.FORCE),
    "force above both": Case(dry_run(), Action.PRUNE, "thresholds ignored", Mode.FORCE),
    "force with an empty blob": Case(dry_run(1, 0), Action.PRUNE, "1 orphaned blob, about 0 B", Mode.FORCE),
    "force with nothing to do": Case(dry_run(0, 0), Action.SKIP, "no orphaned blobs", Mode.FORCE),
    # Never.
    "never above both": Case(dry_run(), Action.SKIP, "hard_prune is set to never", Mode.NEVER),
    "never with nothing to do": Case(dry_run(0, 0), Action.SKIP, "hard_prune is set to never", Mode.NEVER),
    "never still tells of a failed dry run": Case(FORBIDDEN, Action.STOP, "is forbidden", Mode.NEVER),
    # Ceilings.
    "no images": Case(dry_run(), Action.STOP, "no Image objects at all", images=0),
    "no images, nothing found": Case(dry_run(0, 0), Action.STOP, "no Image objects at all", images=0),
    "no images, force": Case(dry_run(), Action.STOP, "is this the right cluster", Mode.FORCE, images=0),
    "no images, never": Case(dry_run(), Action.STOP, "no Image objects at all", Mode.NEVER, images=0),
    "missing storage": Case(dry_run(0, 0, missing_storage=True), Action.STOP, "is it mounted"),
    "missing storage, force": Case(dry_run(missing_storage=True), Action.STOP, "no repositories", Mode.FORCE),
    "zero blobs and exit 1": Case(FORBIDDEN, Action.STOP, "error listing images"),
    "exit 1, force": Case(FORBIDDEN, Action.STOP, "error listing images", Mode.FORCE),
    "exit 1 with a great summary": Case(dry_run(exit_status=1), Action.STOP, "failed with exit status 1"),
    "killed": Case(dry_run(said=None, exit_status=143), Action.STOP, "exit status 143"),
    "bad flag": Case(dry_run(said=None, counted_blobs=0, exit_status=2), Action.STOP, "exit status 2"),
    "end unknown": Case(LOST, Action.STOP, "unknown (the connection was lost)"),
    "end unknown, force": Case(LOST, Action.STOP, "unknown", Mode.FORCE),
    "no summary": Case(dry_run(said=None), Action.STOP, "no output of dockerregistry"),
    "listed one too few": Case(dry_run(counted_blobs=4999), Action.STOP, "says 5,000 blobs but its log lists 4,999"),
    "listed one too many": Case(dry_run(counted_blobs=5001), Action.STOP, "says 5,000 blobs but its log lists 5,001"),
    "listed none": Case(dry_run(counted_blobs=0), Action.STOP, "not known for certain"),
    "listed too few, force": Case(dry_run(counted_blobs=1), Action.STOP, "its log lists 1", Mode.FORCE),
    "a candidate is named": Case(dry_run(), Action.STOP, "is the config of Image sha256:e228", audit=NAMED),
    "a candidate is named, force": Case(dry_run(), Action.STOP, "registry/tx/empty", Mode.FORCE, audit=NAMED),
    "a candidate is named, below": Case(dry_run(1, 38), Action.STOP, "1 candidate of the dry run", audit=NAMED),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_verdict(case: Case) -> None:
    verdict = decide(case.dry_run, mode=case.mode, thresholds=THRESHOLDS, image_count=case.images, audit=case.audit)
    assert verdict.action is case.action
    assert case.reason in "; ".join(verdict.reasons)
    assert verdict.sentence() == f"{'; '.join(verdict.reasons)}: {case.action}"


def test_every_ceiling_that_is_passed_is_named() -> None:
    verdict = decide(
        dry_run(counted_blobs=1, missing_storage=True),
        mode=Mode.FORCE,
        thresholds=THRESHOLDS,
        image_count=0,
        audit=NAMED,
    )
    assert verdict.action is Action.STOP
    assert len(verdict.reasons) == 5


def test_a_verdict_travels_as_json() -> None:
    verdict = decide(dry_run(), mode=Mode.AUTO, thresholds=THRESHOLDS, image_count=1)
    assert Verdict.from_json(verdict.to_json()) == verdict


counts = st.integers(0, 5000)
summaries = st.none() | st.builds(Summary, blobs=counts, rounded_bytes=st.integers(0, 8 * GIB))
any_dry_run = st.builds(
    PrunerResult,
    mode=st.just("check"),
    said=summaries,
    counted_blobs=counts,
    exit_status=st.sampled_from([0, 0, 0, 1, 2, 143, None]),
    missing_storage=st.booleans(),
) | st.builds(dry_run, counts, st.integers(0, 8 * GIB))
any_thresholds = st.builds(Thresholds, min_blobs=st.integers(1, 5000), min_bytes=st.integers(0, 8 * GIB))
any_audit = st.sampled_from([None, CLEAN, NAMED])


@given(run=any_dry_run, mode=st.sampled_from(Mode), thresholds=any_thresholds, audit=any_audit)
def test_a_cluster_without_images_is_never_pruned(
    run: PrunerResult, mode: Mode, thresholds: Thresholds, audit: ReferenceAudit | None
) -> None:
    assert decide(run, mode=mode, thresholds=thresholds, image_count=0, audit=audit).action is Action.STOP


@given(run=any_dry_run, thresholds=any_thresholds, images=st.integers(0, 3), audit=any_audit)
def test_no_mode_goes_past_a_ceiling(
    run: PrunerResult, thresholds: Thresholds, images: int, audit: ReferenceAudit | None
) -> None:
    verdicts = [decide(run, mode=mode, thresholds=thresholds, image_count=images, audit=audit) for mode in Mode]
    stopped = [verdict.action is Action.STOP for verdict in verdicts]
    assert all(stopped) or not any(stopped)
    if any(stopped):
        assert len({verdict.reasons for verdict in verdicts}) == 1


@given(run=any_dry_run, mode=st.sampled_from(Mode), thresholds=any_thresholds, audit=any_audit)
def test_only_a_complete_dry_run_that_nothing_speaks_against_is_pruned(
    run: PrunerResult, mode: Mode, thresholds: Thresholds, audit: ReferenceAudit | None
) -> None:
    verdict = decide(run, mode=mode, thresholds=thresholds, image_count=1, audit=audit)
    assert all(verdict.reasons)
    if verdict.action is Action.PRUNE:
        assert run.complete
        assert run.said is not None
        assert run.said.blobs == run.counted_blobs > 0
        assert not run.missing_storage
        assert mode is not Mode.NEVER
        assert audit is None or audit.hit_count == 0


@given(
    run=st.builds(dry_run, counts, st.integers(0, 8 * GIB)),
    more_blobs=counts,
    more_bytes=st.integers(0, 8 * GIB),
    mode=st.sampled_from(Mode),
    thresholds=any_thresholds,
)
def test_more_garbage_never_turns_prune_into_skip(
    run: PrunerResult, more_blobs: int, more_bytes: int, mode: Mode, thresholds: Thresholds
) -> None:
    assert run.said is not None
    before = decide(run, mode=mode, thresholds=thresholds, image_count=1)
    assume(before.action is Action.PRUNE)
    more = dry_run(run.said.blobs + more_blobs, run.said.rounded_bytes + more_bytes)
    assert decide(more, mode=mode, thresholds=thresholds, image_count=1).action is Action.PRUNE
