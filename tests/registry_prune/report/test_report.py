"""The report of a run: what it found, did and took, for every way in which a run can end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.base_prune.job import BasePrune, Restart
from include.registry_prune.base_prune.output import PruneFigures
from include.registry_prune.cluster.registry_state import PodsSeen, Settled
from include.registry_prune.exact_delete.events import Kept
from include.registry_prune.exact_pod.kept import Removal
from include.registry_prune.preflight.access import AccessReview
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import ByList, PrunerResult, Summary
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.records import Record
from include.registry_prune.report.building import build_report
from include.registry_prune.report.facts import Facts
from include.registry_prune.report.report import Outcome, RunReport
from include.registry_prune.report.report import past_run as past_run_of
from include.registry_prune.verdict.decision import Action, Ceiling, Verdict
from include.registry_prune.verdict.estimate import Estimate
from include.registry_prune.verdict.history import PastRun
from include.registry_prune.window.builds import BuildsHit
from tests.run_tasks import IN_ORDER

TASKS = IN_ORDER[:-1]
BASE = BasePrune(carried_out=True, summary="Summary: deleted 3 image object(s)", figures=PruneFigures(images=3))
SURVEY = PrunerResult(
    mode="check", said=Summary(blobs=3020, rounded_bytes=5_000_000), exit_status=0, artifact="/lists/survey"
)
DRY_RUN = PrunerResult(
    mode="check", said=Summary(blobs=3214, rounded_bytes=6159335), exit_status=0, artifact="/lists/dry_run", seconds=3.0
)
DELETED = PrunerResult(
    mode="delete", said=Summary(blobs=3214, rounded_bytes=6159335), counted_blobs=3214, exit_status=0, seconds=11.5
)
PARTIAL = PrunerResult(mode="delete", said=Summary(blobs=9, rounded_bytes=13609), counted_blobs=8, exit_status=1)
KILLED = PrunerResult(mode="delete", said=None, counted_blobs=1204, exit_status=143)
WORTH_IT = Verdict(action=Action.PRUNE, reasons=("3,214 orphaned blobs ≥ 1,000",))
BELOW = Verdict(action=Action.SKIP, reasons=("12 orphaned blobs < 1,000",))
STOPPED = Verdict(action=Action.STOP, reasons=("the cluster has no Image objects at all",))
RESTORED = Settled(read_only=False, seconds=42.5, pods=2, read_only_seconds=131.4)
WHOLE = IntegrityCheck(exit_status=0)
BROKEN = IntegrityCheck(exit_status=0, broken=('Broken image "a"',), broken_count=1)

FULL: dict[str, Record] = {
    "base_prune": BASE,
    "survey": SURVEY,
    "survey_gate": WORTH_IT,
    "integrity_before": WHOLE,
    "dry_run": DRY_RUN,
    "blob_threshold": WORTH_IT,
    "hard_prune": DELETED,
    "restore_read_write": RESTORED,
    "integrity_after": WHOLE,
}


def facts(
    results: Mapping[str, Record],
    states: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    pods_seen: PodsSeen | None = None,
) -> Facts:
    """Of a run whose other tasks were successful."""
    return Facts(
        results={task: results[task].to_json() if task in results else None for task in TASKS},
        states=dict.fromkeys(TASKS, "success") | (states or {}),
        problems=problems or {},
        pods_seen=pods_seen.to_json() if pods_seen else None,
    )


def report_of(known: Facts, *, dry_run_only: bool = False) -> RunReport:
    return build_report(
        known,
        run_id="manual__1",
        cluster="berlin",
        phases={"dry_run": 1.5, "hard_prune": 12.25},
        dry_run_only=dry_run_only,
    )


def report(
    results: Mapping[str, Record], states: dict[str, str] | None = None, *, dry_run_only: bool = False
) -> RunReport:
    return report_of(facts(results, states), dry_run_only=dry_run_only)


def past_run(results: dict[str, Record], states: dict[str, str] | None = None) -> PastRun:
    known = facts(results, states)
    return past_run_of(report_of(known))


def test_a_full_run() -> None:
    assert report(FULL).model_copy(update={"lines": ()}) == RunReport(
        run_id="manual__1",
        cluster="berlin",
        outcome=Outcome.PRUNED,
        reasons=("3,214 orphaned blobs ≥ 1,000",),
        base_prune="deleted 3 images",
        orphaned_blobs=3214,
        orphaned_bytes=6159335,
        deleted_blobs=3214,
        freed_bytes=6159335,
        deleted_by="dockerregistry",
        left_blobs=0,
        slices_left=0,
        read_only_seconds=131.4,
        scan_seconds=3.0,
        delete_seconds=11.5,
        broken_before=0,
        broken_after=0,
        artifact="/lists/dry_run",
        phases={"dry_run": 1.5, "hard_prune": 12.25},
        verdict=Action.PRUNE,
    )


def test_a_full_run_in_words() -> None:
    assert report(FULL).text() == (
        "Hard prune of berlin, run manual__1: pruned\n"
        "  because: 3,214 orphaned blobs ≥ 1,000\n"
        "  base prune: deleted 3 images\n"
        "  orphans found: 3,214 blobs, about 5.874 MiB\n"
        "  deleted: 3,214 blobs, about 5.874 MiB\n"
        "  read-only: 2 min 11 s\n"
        "  broken images: 0 before, 0 after\n"
        "  list of candidates: /lists/dry_run"
    )


def test_the_estimate_is_held_against_what_the_delete_took() -> None:
    estimate = Estimate(likely_seconds=10.0, low_seconds=5.0, high_seconds=20.0)
    full = report(FULL | {"blob_threshold": WORTH_IT.model_copy(update={"estimate": estimate})})
    assert (full.estimated_delete_seconds, full.delete_seconds) == (10.0, 11.5)
    assert "  delete: estimated 10 s, took 12 s\n" in full.text()


def test_who_let_the_run_pass_a_ceiling_is_said() -> None:
    passed = WORTH_IT.model_copy(update={"passed": (Ceiling.ORPHAN_SHARE,), "passed_by": "ada"})
    full = report(FULL | {"blob_threshold": passed})
    assert (full.passed_ceilings, full.passed_by) == (("orphan_share",), "ada")
    assert "  ceilings passed by ada: orphan_share\n" in full.text()


def test_what_later_runs_know_of_a_run() -> None:
    assert past_run(FULL | {"blob_threshold": WORTH_IT.model_copy(update={"cluster_id": "b1"})}) == PastRun(
        run_id="manual__1",
        cluster_id="b1",
        orphaned_blobs=3214,
        deleted_blobs=3214,
        left_blobs=0,
        scan_seconds=3.0,
        delete_seconds=11.5,
    )


@pytest.mark.parametrize("gate", ["survey_gate", "blob_threshold"])
def test_what_a_gate_stopped_at_is_no_measure_for_later_runs(gate: str) -> None:
    assert past_run(FULL | {gate: STOPPED}, {gate: "failed"}) == PastRun(run_id="manual__1")


def test_a_delete_that_did_not_end_is_no_measure_for_later_ones() -> None:
    known = past_run(FULL | {"hard_prune": PARTIAL}, {"hard_prune": "failed"})
    assert (known.orphaned_blobs, known.deleted_blobs, known.delete_seconds) == (3214, None, None)


def test_a_run_that_was_never_judged_says_nothing_to_later_ones() -> None:
    assert past_run({}, {"verify_access": "failed"}) == PastRun(run_id="manual__1")


AFTER_GATE = ("integrity_before", "arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune")
SKIPPED = dict.fromkeys((*AFTER_GATE, "restore_read_write", "integrity_after"), "skipped")
QUIET = {"base_prune": BASE, "survey": SURVEY, "survey_gate": BELOW}


def test_an_interrupted_delete_teaches_later_runs_no_cost() -> None:
    """Guards the estimate: the last attempt's time, shared among the blobs of all, would look quick."""
    interrupted = DELETED.model_copy(update={"attempts": 2, "earlier_blobs": 3000})
    ended = report(FULL | {"hard_prune": interrupted})
    assert (ended.deleted_blobs, ended.delete_seconds) == (6214, None)
    assert past_run(FULL | {"hard_prune": interrupted}).delete_seconds is None
    assert past_run(FULL | {"hard_prune": interrupted}).seconds_per_blob is None


def test_a_run_below_the_threshold_was_never_read_only() -> None:
    quiet = report(QUIET, SKIPPED | {"survey_gate": "skipped"})
    assert quiet.outcome is Outcome.NOT_WORTH_IT
    assert quiet.reasons == BELOW.reasons
    assert (quiet.orphaned_blobs, quiet.deleted_blobs, quiet.read_only_seconds) == (3020, 0, 0.0)
    assert quiet.artifact == "/lists/survey"
    assert quiet.failed_tasks == ()
    assert "broken images: not looked at before, not looked at after" in quiet.text()


def test_the_verdict_inside_the_window_is_the_one_that_counts() -> None:
    results = FULL | {"blob_threshold": BELOW}
    del results["hard_prune"]
    late = report(results, {"blob_threshold": "skipped", "hard_prune": "skipped"})
    assert late.outcome is Outcome.NOT_WORTH_IT
    assert late.reasons == BELOW.reasons
    assert (late.deleted_blobs, late.read_only_seconds) == (0, 131.4)


def test_a_dry_run_is_called_so() -> None:
    dry = report(QUIET, SKIPPED, dry_run_only=True)
    assert dry.outcome is Outcome.DRY_RUN
    assert dry.deleted_blobs == 0


def test_a_run_without_survey_and_without_hard_prune() -> None:
    assert report({"base_prune": BASE}, SKIPPED).outcome is Outcome.NO_HARD_PRUNE


@pytest.mark.parametrize(
    ("deletion", "blobs", "freed"), [(PARTIAL, 9, 13609), (KILLED, 1204, None)], ids=["partial", "killed"]
)
def test_a_delete_that_stopped_midway_says_what_it_freed(deletion: PrunerResult, blobs: int, freed: int | None) -> None:
    failed = report(FULL | {"hard_prune": deletion}, {"hard_prune": "failed"})
    assert failed.outcome is Outcome.FAILED
    assert failed.failed_tasks == ("hard_prune",)
    assert (failed.deleted_blobs, failed.freed_bytes) == (blobs, freed)
    assert failed.read_only_seconds == 131.4


def test_a_delete_without_a_result_is_unknown() -> None:
    results = FULL.copy()
    del results["hard_prune"]
    failed = report(results, {"hard_prune": "failed"})
    assert failed.deleted_blobs is None
    assert "  deleted: not looked at" in failed.text()


def test_a_run_that_fails_at_its_first_step_has_a_report() -> None:
    states = GIVEN_UP | {"verify_access": "failed"}
    failed = report({}, states)
    assert failed.outcome is Outcome.FAILED
    assert failed.failed_tasks == ("verify_access",)
    assert (failed.deleted_blobs, failed.read_only_seconds) == (0, 0.0)
    assert failed.base_prune is None
    assert failed.reasons == ("verify_access: it did not say why, see its log",)
    assert "  orphans found: not looked at" in failed.text()
    assert "  failed tasks: verify_access\n" in failed.text()


def test_a_stopped_run_says_why() -> None:
    results = {"survey": SURVEY, "survey_gate": STOPPED}
    stopped = report(results, dict.fromkeys(AFTER_GATE, "upstream_failed") | {"survey_gate": "failed"})
    assert stopped.outcome is Outcome.FAILED
    assert "  because: the cluster has no Image objects at all" in stopped.text()


def test_a_failed_restore_leaves_the_read_only_time_unknown() -> None:
    results = FULL.copy()
    del results["restore_read_write"]
    failed = report(results, {"restore_read_write": "failed", "verify_restored": "failed"})
    assert failed.outcome is Outcome.FAILED
    assert failed.read_only_seconds is None
    assert "  read-only: unknown" in failed.text()


def test_a_window_that_was_armed_but_not_opened_took_no_time() -> None:
    results = {"restore_read_write": Settled(read_only=False, seconds=0.1, pods=2)}
    assert report(results, {"set_read_only": "failed"}).read_only_seconds == 0.0


def test_images_that_broke_are_shown() -> None:
    failed = report(FULL | {"integrity_after": BROKEN}, {"integrity_after": "failed"})
    assert (failed.broken_before, failed.broken_after) == (0, 1)
    assert "  broken images: 0 before, 1 after" in failed.text()


def test_an_integrity_check_that_did_not_end_says_nothing() -> None:
    unknown = IntegrityCheck(exit_status=None)
    assert report(FULL | {"integrity_before": unknown}).broken_before is None
    assert report(FULL | {"integrity_after": unknown}).broken_after is None


@pytest.mark.parametrize(
    ("base", "words"),
    [
        (BasePrune(carried_out=False), "switched off"),
        (BasePrune(carried_out=True), "no summary: see the log of base_prune"),
        (BasePrune(carried_out=True, figures=PruneFigures()), "deleted nothing"),
    ],
)
def test_the_base_prune_in_words(base: BasePrune, words: str) -> None:
    assert report(FULL | {"base_prune": base}).base_prune == words


NOT_RESTARTED = Restart(needed=True, not_done="restart_after_base_prune is off")


@pytest.mark.parametrize(
    ("restart", "states", "words"),
    [
        (Restart(needed=False), SKIPPED, "deleted 3 images"),
        (Restart(needed=True, replaced=2), SKIPPED, "deleted 3 images; 2 registry pods replaced"),
        (
            NOT_RESTARTED,
            SKIPPED,
            "deleted 3 images; the registry's pods were not replaced (restart_after_base_prune is off)",
        ),
        # The way into the window replaced every pod.
        (NOT_RESTARTED, {}, "deleted 3 images"),
    ],
)
def test_the_report_says_whether_pods_may_remember_what_the_base_prune_deleted(
    restart: Restart, states: dict[str, str], words: str
) -> None:
    assert report(QUIET | {"restart_registry": restart}, states).base_prune == words


NO_WINDOW = dict.fromkeys(["arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune"], "skipped")
BEFORE_WINDOW: dict[str, Record] = {"survey": SURVEY, "survey_gate": WORTH_IT, "integrity_before": WHOLE}


def test_a_run_whose_moment_did_not_come_is_postponed_and_says_why() -> None:
    reasons = ("2 builds (shop/app-1, shop/app-2) would be lost", "this run opens no window")
    not_now = Verdict(action=Action.SKIP, reasons=reasons)
    postponed = report(BEFORE_WINDOW | {"right_moment": not_now}, NO_WINDOW | {"right_moment": "skipped"})
    assert postponed.outcome is Outcome.POSTPONED
    assert postponed.reasons == (*WORTH_IT.reasons, *reasons)
    assert (postponed.read_only_seconds, postponed.deleted_blobs) == (0.0, 0)


def test_a_run_that_went_on_beside_running_builds_says_so() -> None:
    reasons = ("2 builds (shop/app-1, shop/app-2) would be lost", "the run opens the window all the same")
    went_on = report(FULL | {"right_moment": Verdict(action=Action.PRUNE, reasons=reasons)})
    assert went_on.outcome is Outcome.PRUNED
    assert went_on.reasons == (*WORTH_IT.reasons, *reasons)


def test_a_moment_with_nothing_in_the_way_is_not_worth_a_word() -> None:
    at_once = report(FULL | {"right_moment": Verdict(action=Action.PRUNE, reasons=("nothing is in the way",))})
    assert at_once == report(FULL)


def test_a_rejected_run_says_by_whom() -> None:
    rejected = report(
        BEFORE_WINDOW | {"approve_window": Approval(asked=True, approved=False, by="mona")},
        NO_WINDOW | {"right_moment": "skipped"},
    )
    assert rejected.outcome is Outcome.REJECTED
    assert rejected.reasons[-1] == "the window was rejected by mona"


def test_an_approval_is_in_the_report_and_one_that_nobody_had_to_give_is_not() -> None:
    approved = report(FULL | {"approve_window": Approval(asked=True, approved=True, by="mona")})
    assert approved.reasons[-1] == "the window was approved by mona"
    assert report(FULL | {"approve_window": Approval(asked=False, approved=True)}) == report(FULL)


def test_builds_that_were_hit_are_to_be_started_again() -> None:
    hit = report(FULL | {"verify_restored": BuildsHit(count=2, names=("shop/app-1", "shop/app-2"))})
    assert (hit.builds_hit, hit.builds_hit_names) == (2, ("shop/app-1", "shop/app-2"))
    assert "  builds hit, start them again: 2 builds (shop/app-1, shop/app-2)" in hit.text().splitlines()
    none = report(FULL | {"verify_restored": BuildsHit()})
    assert none.builds_hit == 0
    assert "builds hit" not in none.text()


GIVEN_UP = dict.fromkeys(TASKS, "upstream_failed")
NIGHT = datetime(2026, 1, 1, 3, 15, tzinfo=UTC)
CLOSED = RESTORED.model_copy(update={"read_only_seconds": 710.0, "closed_at": NIGHT + timedelta(seconds=710)})
BEGUN = CLOSED.model_copy(update={"delete_began_at": NIGHT + timedelta(seconds=60)})
WITHOUT_DELETE: dict[str, Record] = {task: result for task, result in FULL.items() if task != "hard_prune"}


@pytest.mark.parametrize(("state", "deleted"), [("success", None), ("skipped", None)])
def test_a_delete_that_was_marked_over_is_neither_pruned_nor_no_hard_prune(state: str, deleted: None) -> None:
    """Guards the outcome: the delete was at work, and nobody saw what it did."""
    marked = report(WITHOUT_DELETE | {"restore_read_write": BEGUN}, {"hard_prune": state})
    assert marked.outcome is Outcome.END_NOT_KNOWN
    assert marked.deleted_blobs is deleted
    assert marked.reasons == (
        f"hard_prune is {state} although it saw no end: the lease says that a delete began at 2026-01-01 03:16:00 UTC, "
        "and how it ended is not known",
    )
    assert past_run(WITHOUT_DELETE | {"restore_read_write": BEGUN}, {"hard_prune": state}).deleted_blobs is None


def test_what_a_marked_delete_had_handed_over_is_said_and_is_no_end() -> None:
    marked = report(FULL | {"hard_prune": KILLED, "restore_read_write": BEGUN})
    assert marked.outcome is Outcome.END_NOT_KNOWN
    assert "so far it deleted 1,204 blobs" in marked.reasons[0]


def test_a_task_that_was_marked_before_any_delete_began_is_no_hard_prune() -> None:
    assert report(WITHOUT_DELETE | {"restore_read_write": CLOSED}).outcome is Outcome.NO_HARD_PRUNE


def test_a_failure_does_not_hide_that_the_end_of_the_delete_is_not_known() -> None:
    failed = report(WITHOUT_DELETE | {"restore_read_write": BEGUN}, {"integrity_after": "failed"})
    assert failed.outcome is Outcome.FAILED
    assert [reason.partition(" ")[0] for reason in failed.reasons] == ["integrity_after:", "hard_prune"]


def test_a_run_that_failed_early_says_why() -> None:
    problem = "system:serviceaccount:x lacks 2 permissions\n  - a\n  - b"
    failed = report_of(facts({}, GIVEN_UP | {"verify_access": "failed"}, {"verify_access": problem}))
    assert failed.reasons == ("verify_access: system:serviceaccount:x lacks 2 permissions - a - b",)
    assert "  because: verify_access: system:serviceaccount:x lacks" in failed.text()


def test_the_cause_of_a_window_that_failed_is_the_window_and_not_the_surveys_verdict() -> None:
    results = {task: FULL[task] for task in ("base_prune", "survey", "survey_gate", "integrity_before")}
    states = {"set_read_only": "failed", "dry_run": "upstream_failed", "hard_prune": "upstream_failed"}
    failed = report_of(facts(results, states, {"set_read_only": "The registry is not settled read-only"}))
    assert failed.reasons == ("set_read_only: The registry is not settled read-only",)


def test_a_long_problem_is_cut() -> None:
    failed = report_of(facts({}, GIVEN_UP | {"base_prune": "failed"}, {"base_prune": "x " * 5000}))
    assert len(failed.reasons[0]) < 700


def test_the_read_only_time_is_what_the_pods_showed() -> None:
    settled = Settled(read_only=True, seconds=9.0, pods=2, first_pod_at=NIGHT + timedelta(seconds=10))
    shown = report(FULL | {"set_read_only": settled, "restore_read_write": CLOSED})
    assert shown.read_only_seconds == 700.0
    assert ("read-only", "11 min 40 s") in shown.lines
    assert (
        "uploads refused",
        "from 03:15:10, when the first pod was read-only, to 03:26:50 UTC, when the last was gone",
    ) in shown.lines


@pytest.mark.parametrize(
    ("seen", "seconds", "read_only", "refused"),
    [
        (PodsSeen(), 0.0, "never", "none: readOnly was true for 11 min 50 s, and no pod got read-only"),
        (None, 710.0, "at most 11 min 50 s", "not known: readOnly was true for that long, and nobody saw the pods"),
        (PodsSeen(first_pod_at=NIGHT + timedelta(seconds=650)), 60.0, "1 min 00 s", "from 03:25:50, when the first"),
    ],
)
def test_a_window_that_did_not_settle_was_read_only_as_far_as_pods_were(
    seen: PodsSeen | None, seconds: float, read_only: str, refused: str
) -> None:
    """Guards the figure: no pod was ever read-only, and the report said 11 min 50 s."""
    known = facts({"restore_read_write": CLOSED}, {"set_read_only": "failed"}, pods_seen=seen)
    shown = report_of(known)
    assert shown.read_only_seconds == seconds
    assert dict(shown.lines)["read-only"] == read_only
    assert dict(shown.lines)["uploads refused"].startswith(refused)


def test_what_the_pruner_warned_of_is_in_the_report() -> None:
    warned = DRY_RUN.model_copy(update={"warnings": ("one", "two", "three", "four", "five")})
    lines = report(FULL | {"dry_run": warned, "hard_prune": DELETED.model_copy(update={"warnings": ("one",)})}).lines
    assert [text for label, text in lines if label == "the pruner warned"] == [
        "one",
        "two",
        "three",
        "2 times more: see the logs of dry_run and hard_prune",
    ]


@given(
    tasks=st.sets(st.sampled_from(sorted(FULL))),
    states=st.dictionaries(
        st.sampled_from(TASKS), st.sampled_from(["success", "failed", "skipped", "upstream_failed", "removed"])
    ),
    dry_run_only=st.booleans(),
)
def test_every_run_has_a_report_that_travels_as_json(
    tasks: set[str], states: dict[str, str], dry_run_only: bool
) -> None:
    any_report = report({task: FULL[task] for task in tasks}, states, dry_run_only=dry_run_only)
    assert RunReport.from_json(json.loads(json.dumps(any_report.to_json()))) == any_report
    assert any_report.text().startswith(f"Hard prune of berlin, run manual__1: {any_report.outcome}\n")
    failed = {"failed", "upstream_failed"} & set(states.values())
    assert (any_report.outcome is Outcome.FAILED) is bool(failed)


def test_a_result_of_another_version_is_refused() -> None:
    wrong: dict[str, Any] = {**DELETED.to_json(), "version": 2}
    with pytest.raises(ValueError, match="version"):
        PrunerResult.from_json(wrong)


LISTED = DELETED.model_copy(
    update={"by_list": ByList(storage="file system /registry", keeps="renamed", kept_as="w-1", record="/lists/record")}
)
SINCE = datetime(2026, 11, 26, 3, tzinfo=UTC)
KEPT_STILL = Removal(kept=(Kept(name="w-1", since=SINCE, blobs=3214, bytes=6159335),))


@pytest.mark.parametrize(
    ("by_list", "removal", "keeps", "said"),
    [
        (LISTED.by_list, KEPT_STILL, "renamed", "until 2026-12-03 03:00 UTC, as w-1; registry_undo puts it back"),
        (LISTED.by_list, None, "renamed", "what was deleted, as w-1; registry_undo puts it back"),
        (
            LISTED.by_list,
            Removal(names=("w-1",), blobs=3214, freed_bytes=4096),
            "nothing",
            "3,214 blobs removed for good",
        ),
        (ByList(keeps="versions"), None, "versions", "as versions, until the bucket's own rules remove them"),
        (ByList(keeps="nothing"), None, "nothing", "nothing: it cannot be undone"),
    ],
)
def test_a_delete_by_the_list_says_what_is_kept_and_until_when(
    by_list: ByList, removal: Removal | None, keeps: str, said: str
) -> None:
    run = FULL | {"hard_prune": DELETED.model_copy(update={"by_list": by_list})}
    run |= {"remove_deleted": removal} if removal else {}
    built = build_report(facts(run), run_id="r", cluster="c", phases={}, dry_run_only=False, keep_seconds=7 * 86_400)
    assert (built.deleted_by, built.keeps) == ("list", keeps)
    assert said in dict(built.lines)["kept"]


@pytest.mark.parametrize(("driver", "said"), [("s3", True), ("pvc", False)])
def test_what_freed_means_in_a_bucket_is_said_where_the_figure_stands(driver: str, said: bool) -> None:
    run = FULL | {"verify_access": AccessReview(user="u", server="s", storage=driver)}
    assert ("nothing before its own rules remove them" in report(run).text()) is said


def test_what_an_image_came_to_name_and_was_put_back_is_said() -> None:
    put_back = ByList(keeps="renamed", kept_as="w-1", put_back=2, missing=3)
    run = FULL | {"hard_prune": DELETED.model_copy(update={"by_list": put_back})}
    text = build_report(facts(run), run_id="r", cluster="c", phases={}, dry_run_only=False).text()
    assert "put back: 2 blobs that an Image came to name meanwhile" in text
    assert "3 blobs of it were not there any more" in text


def test_deletes_of_different_kinds_are_told_apart_later() -> None:
    """Guards the estimate: each kind goes by its own."""
    assert past_run(FULL | {"hard_prune": LISTED}).by_list
    assert not past_run(FULL).by_list
