"""From evidence to a verdict with its reasons (pure). The rules are in ``rules.py``, what they look at in
``evidence.py``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from include.registry_prune.records import Record
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


class Verdict(Record):
    """What to do, and why in words.

    :param ceilings: those that the run was stopped at, by the names that let a run pass them.
    :param passed: ceilings that were reached and passed, because a person said so.
    :param passed_by: who that was.
    :param cluster_id: of the cluster that it is about.
    :param estimate: how long the delete will take; None if there is nothing to tell it from.
    """

    version: Literal[1] = 1
    action: Action
    reasons: tuple[str, ...]
    ceilings: tuple[Ceiling, ...] = ()
    passed: tuple[Ceiling, ...] = ()
    passed_by: str = ""
    cluster_id: str = ""
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

    Of a group of rules that ask for the same, all are heard; the first group in which one speaks decides. ``force``
    silences the thresholds and nothing else; a ceiling is silenced only by its name.

    :raises ValueError: if the rules let a dry run pass that did not come to its end.
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
        raise ValueError(f"a dry run that did not come to its end is no ground for a delete: {evidence.dry_run}")
    return _verdict(evidence, Action.PRUNE, [found(evidence)], passed)


def _with_way_on(rule: Rule, words: str) -> str:
    if rule.ceiling is None:
        return words
    return f"{words}. Whoever has looked and knows better triggers a run with pass_ceilings: {rule.ceiling}"


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
