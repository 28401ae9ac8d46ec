"""From evidence to a verdict with its reasons (pure). The rules are in ``rules.py``, what they look at in
``evidence.py``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from pydantic import AwareDatetime

from include.registry_prune.records import WindowRecord
from include.registry_prune.verdict.estimate import Estimate
from include.registry_prune.verdict.evidence import Ceiling, CeilingLimits, Evidence, Mode, Stage, Thresholds
from include.registry_prune.verdict.rules import RULES, Action, Rule, found

__all__ = [
    "Action",
    "Ceiling",
    "CeilingLimits",
    "Evidence",
    "Mode",
    "Stage",
    "Thresholds",
    "Verdict",
    "decide",
]


class Verdict(WindowRecord):
    """What to do, and why.

    :param ceilings: those that stopped the run, by the names that let a run pass them.
    :param passed: ceilings that the run reached and passed, because a person let it.
    :param passed_by: who that was.
    :param cluster_id: of the cluster that it is about.
    :param judged: sha256 of the list of candidates that it was given on; empty if it was given on none.
    :param given_at: when it was given.
    :param estimate: how long the delete will take; None if there is nothing to tell it from.
    """

    version: Literal[1] = 1
    action: Action
    reasons: tuple[str, ...]
    ceilings: tuple[Ceiling, ...] = ()
    passed: tuple[Ceiling, ...] = ()
    passed_by: str = ""
    cluster_id: str = ""
    judged: str = ""
    given_at: AwareDatetime | None = None
    estimate: Estimate | None = None

    @property
    def estimated_delete_seconds(self) -> float | None:
        """How long the delete will likely take."""
        return self.estimate.likely_seconds if self.estimate else None

    def text(self) -> str:
        """The verdict as one line for the log and the report."""
        return f"{'; '.join(self.reasons)}: {self.action}"


def decide(evidence: Evidence, rules: Sequence[Rule] = RULES) -> Verdict:
    """Give the verdict: *prune* only if no rule speaks against it.

    It asks all rules of a group that want the same; the first group in which one speaks up decides. ``force`` silences
    the thresholds and nothing else; only its name silences a ceiling.

    :raises ValueError: if the rules let a dry run pass that did not end well.
    """
    passed: list[tuple[Ceiling, str]] = []
    for action, group in groupby(rules, key=lambda rule: rule.action):
        spoken: list[tuple[Rule, str]] = []
        for rule in group:
            words = rule.speaks(evidence)
            if words and rule.ceiling in evidence.passed:
                passed.append((rule.ceiling, words))
            elif words:
                spoken.append((rule, words))
        if spoken and action is Action.STOP:
            return _verdict(evidence, action, [_with_way_on(rule, words) for rule, words in spoken], passed, spoken)
        if spoken:
            return _verdict(evidence, action, [spoken[0][1]], passed)
    if evidence.dry_run is not None and not evidence.dry_run.complete:
        raise ValueError(f"A dry run that did not come to its end is no ground for a delete: {evidence.dry_run}")
    return _verdict(evidence, Action.PRUNE, [found(evidence)], passed)


def _with_way_on(rule: Rule, words: str) -> str:
    if rule.ceiling is None:
        return words
    return f"{words}. If you have looked and it is right, trigger a run with pass_ceilings: {rule.ceiling}"


def _verdict(
    evidence: Evidence,
    action: Action,
    reasons: list[str],
    passed: list[tuple[Ceiling, str]],
    spoken: Sequence[tuple[Rule, str]] = (),
) -> Verdict:
    by = evidence.passed_by or "a person"
    return Verdict(
        action=action,
        reasons=(*reasons, *(f"ceiling {ceiling} passed by {by} ({words})" for ceiling, words in passed)),
        ceilings=tuple(rule.ceiling for rule, _ in spoken if rule.ceiling),
        passed=tuple(ceiling for ceiling, _ in passed),
        passed_by=evidence.passed_by if passed else "",
        cluster_id=evidence.cluster_id,
        estimate=evidence.estimate,
    )
