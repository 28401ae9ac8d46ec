"""A person's word on opening the window: what is asked, and what was answered (pure)."""

from __future__ import annotations

from typing import Literal

from include.registry_prune.records import WindowRecord
from include.registry_prune.units import format_seconds
from include.registry_prune.verdict.decision import Verdict


class Approval(WindowRecord):
    """What became of the question whether the window may be opened.

    It gives the window its name: the approval, the look at the moment and all that follows are for this one.

    :param asked: False if nobody had to be asked.
    :param approved: the answer; True if nobody had to be asked.
    :param by: who answered; empty if nobody did, so that the setting ``approval_default`` decided.
    """

    version: Literal[1] = 1
    asked: bool
    approved: bool
    by: str = ""

    def text(self) -> str:
        """The answer as one line for the log and the report."""
        if not self.asked:
            return "nobody had to approve the window"
        answer = "approved" if self.approved else "rejected"
        if not self.by:
            return f"nobody answered in time whether the window may be opened: {answer} by default"
        return f"the window was {answer} by {self.by}"


def question(*, cluster: str, server: str, verdict: Verdict, facts: tuple[str, ...], limit_seconds: float) -> str:
    """What a person is shown, in Markdown.

    :param server: the API server that the cluster is reached at: whoever approves should see which one it is.
    :param verdict: of the survey.
    :param facts: what else is known, each in words.
    :param limit_seconds: how long the answer may take.
    """
    lines = [
        f"This run is about to make the registry of cluster **{cluster}** ({server}) read-only, and to delete its "
        "orphaned blobs. Pushes and builds fail meanwhile. Nothing has been changed yet.",
        "",
        "**Why:**",
        *(f"* {reason}" for reason in verdict.reasons),
        "",
        "**What is known:**",
        *(f"* {fact}" for fact in facts),
        "",
        "With the registry read-only, its list is held once more against all images before anything is deleted. The "
        f"run waits {format_seconds(limit_seconds)} for the answer.",
    ]
    return "\n".join(lines)
