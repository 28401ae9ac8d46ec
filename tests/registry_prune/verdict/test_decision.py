"""From evidence to a verdict: thresholds open the gate, ceilings stop the run whatever it was asked to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from include.registry_prune.verdict.decision import Action, Ceiling, Evidence, Mode, Stage, Verdict, decide
from include.registry_prune.verdict.rules import RULES, Rule
from tests.registry_prune.verdict.verdict_cases import (
    CASES,
    LIMITS,
    PRUNED,
    SKIPPED,
    STOPPED,
    UNTYPED,
    Case,
    dry_run,
    earlier,
    evidence,
)


def test_the_cases_are_many_and_none_hides_another() -> None:
    assert len(CASES) == len(PRUNED) + len(SKIPPED) + len(STOPPED) >= 60


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_verdict(case: Case) -> None:
    verdict = decide(case.evidence())
    assert verdict.action is case.action, verdict.text()
    assert case.reason in "; ".join(verdict.reasons)
    assert verdict.text() == f"{'; '.join(verdict.reasons)}: {case.action}"


ALONE: dict[str, Case] = {
    "pruner_failed": STOPPED["exit 1 with a great summary"],
    "no_images": Case(None, Action.STOP, "", {"audit": {"images": 0}}),
    "summary_differs": STOPPED["listed one too few"],
    "list_incomplete": STOPPED["kept one too few"],
    "candidate_in_use": STOPPED["a candidate is named"],
    "repository_in_use": STOPPED["a stream is there"],
    "other_cluster": STOPPED["another cluster"],
    "renewed_images": STOPPED["all Images are new"],
    "missing_storage": STOPPED["missing storage, force"],
    "orphan_share": STOPPED["above four fifths"],
    "removed_repositories": STOPPED["26 repositories go"],
    "earlier_runs": STOPPED["above ten times the median"],
    "untyped_images": STOPPED["an untyped image"],
    "never": SKIPPED["never above both"],
    "no_orphans": SKIPPED["force with nothing to do"],
    "below_thresholds": SKIPPED["both one below"],
    "dry_run_only": SKIPPED["dry run only"],
}
"""For each rule a case in which it alone speaks."""


def test_every_rule_has_a_case_of_its_own() -> None:
    assert [rule.name for rule in RULES] == list(ALONE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_that_is_taken_out_is_missed(rule: Rule) -> None:
    """Guards every rule: without it, its case ends otherwise."""
    given = ALONE[rule.name].evidence()
    assert [each.name for each in RULES if each.speaks(given)] == [rule.name]
    others = [each for each in RULES if each is not rule]
    try:
        without: Action | None = decide(given, others).action
    except ValueError:
        without = None
    assert decide(given).action is rule.action is not without


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_only_a_ceiling_is_passed_and_only_by_its_own_name(rule: Rule) -> None:
    case = ALONE[rule.name]
    assert decide(case.evidence()).ceilings == ((rule.ceiling,) if rule.ceiling else ())
    for ceiling in Ceiling:
        verdict = decide(case.evidence(passed=(ceiling,), passed_by="ada"))
        if ceiling is rule.ceiling:
            assert verdict.action is not Action.STOP
            assert (verdict.passed, verdict.passed_by) == ((ceiling,), "ada")
        else:
            assert verdict.action is rule.action
            assert (verdict.passed, verdict.passed_by) == ((), "")


def test_every_ceiling_is_a_rule() -> None:
    assert {rule.ceiling for rule in RULES if rule.ceiling} == set(Ceiling)


def test_every_ceiling_that_is_reached_is_named() -> None:
    verdict = decide(
        evidence(
            dry_run(counted_blobs=1, missing_storage=True, counted_repositories=50),
            mode=Mode.FORCE,
            audit={"images": 0, "stored_references": 0, "untyped": (UNTYPED,), "untyped_count": 1},
            history=earlier(10, 10, 10, cluster_id="munich"),
        )
    )
    assert verdict.action is Action.STOP
    assert verdict.ceilings == (
        Ceiling.OTHER_CLUSTER,
        Ceiling.MISSING_STORAGE,
        Ceiling.ORPHAN_SHARE,
        Ceiling.REMOVED_REPOSITORIES,
        Ceiling.EARLIER_RUNS,
        Ceiling.UNTYPED_IMAGES,
    )
    assert len(verdict.reasons) == 8


def test_a_verdict_travels_as_json_with_its_estimate() -> None:
    verdict = decide(evidence(dry_run()))
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.estimated_delete_seconds == pytest.approx(60 * (1 + 2.3831 * 0.2), abs=0.1)


MALFORMED: dict[str, Callable[[], Evidence]] = {
    "no dry run before a delete": lambda: evidence(None, stage=Stage.DELETE),
    "a delete is no dry run": lambda: evidence(dry_run(mode="delete")),
    "negative blobs": lambda: evidence(dry_run(-1, 0, counted_blobs=0)),
    "negative size": lambda: evidence(dry_run(size=-1)),
    "negative count": lambda: evidence(dry_run(counted_repositories=-1)),
    "negative time": lambda: evidence(dry_run(seconds=-1.0)),
    "a time that is no number": lambda: evidence(dry_run(seconds=float("nan"))),
    "negative images": lambda: evidence(dry_run(), audit={"images": -1}),
    "negative repositories": lambda: evidence(dry_run(), streams={"repositories": -1}),
    "no such mode": lambda: evidence(dry_run(), mode="always"),
    "no such ceiling": lambda: evidence(dry_run(), passed=("no_images",)),
    "a threshold of zero blobs": lambda: evidence(dry_run(), thresholds={"min_blobs": 0, "min_bytes": 0}),
    "a share above one": lambda: evidence(dry_run(), limits=LIMITS.to_json() | {"orphan_share": 1.01}),
    "a share that is no number": lambda: evidence(dry_run(), limits=LIMITS.to_json() | {"orphan_share": float("nan")}),
    "something unknown": lambda: evidence(dry_run(), images_checked=True),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_evidence_is_an_error_and_no_verdict(make: Callable[[], Evidence]) -> None:
    with pytest.raises(ValidationError):
        make()
