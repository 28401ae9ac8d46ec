"""What a person is asked before the window opens, and what the answer is called."""

from __future__ import annotations

from include.registry_prune.preflight.approval import Approval, question
from include.registry_prune.verdict.decision import Action, Verdict


def test_the_question_shows_the_cluster_the_verdict_and_what_is_known() -> None:
    text = question(
        cluster="berlin",
        server="https://api.berlin.test:6443",
        verdict=Verdict(action=Action.PRUNE, reasons=("3,214 orphaned blobs ≥ 1,000", "about 41 GiB ≥ 2 GiB")),
        facts=("estimated time of the delete: 12 min 00 s",),
        limit_seconds=12 * 3600,
    )
    for part in (
        "cluster **berlin** (https://api.berlin.test:6443)",
        "* 3,214 orphaned blobs ≥ 1,000\n* about 41 GiB ≥ 2 GiB\n",
        "* estimated time of the delete: 12 min 00 s\n",
        "Nothing has been changed yet",
        "waits 12 h 00 min",
    ):
        assert part in text


def test_the_answer_says_who_gave_it() -> None:
    assert Approval(asked=False, approved=True).text() == "nobody had to approve the window"
    assert Approval(asked=True, approved=True, by="mona").text() == "the window was approved by mona"
    assert Approval(asked=True, approved=False, by="mona").text() == "the window was rejected by mona"
    assert Approval(asked=True, approved=False).text() == (
        "nobody answered in time whether the window may be opened: rejected by default"
    )
