"""What holds for every verdict, whatever the evidence."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from include.registry_prune.pruner.dockerregistry import PrunerResult, Summary
from include.registry_prune.verdict.decision import Action, Ceiling, Evidence, Mode, Thresholds, decide
from include.registry_prune.verdict.references import StreamAudit
from include.registry_prune.verdict.rules import RULES
from tests.registry_prune.verdict.verdict_cases import GIB, HIT, STILL_THERE, dry_run, earlier, evidence

counts = st.integers(0, 5000)
sizes = st.integers(0, 8 * GIB)
seconds = st.floats(0, 100_000)
whole_dry_runs = st.builds(dry_run, counts, sizes, seconds=seconds, counted_repositories=st.integers(0, 40))
any_dry_run = (
    st.builds(
        PrunerResult,
        mode=st.just("check"),
        said=st.none() | st.builds(Summary, blobs=counts, rounded_bytes=sizes),
        counted_blobs=counts,
        exit_status=st.sampled_from([0, 0, 0, 1, 2, 143, None]),
        missing_storage=st.booleans(),
        seconds=seconds,
    )
    | whole_dry_runs
)
any_history = st.builds(
    lambda found, cluster: earlier(*found, cluster_id=cluster),
    st.lists(counts, max_size=5),
    st.sampled_from(["berlin", "berlin", "munich"]),
)


@st.composite
def any_evidence(draw: st.DrawFn, /, run: st.SearchStrategy[PrunerResult] = any_dry_run, **fixed: Any) -> Evidence:
    given_run = draw(run)
    audit: dict[str, Any] = {
        "candidates": draw(st.sampled_from([given_run.counted_blobs, given_run.counted_blobs, 0])),
        "images": draw(st.sampled_from([300, 300, 1, 0])),
        "stored_references": draw(counts),
        "hits": draw(st.sampled_from([(), (), (HIT,)])),
        "untyped_count": draw(st.sampled_from([0, 0, 1])),
    }
    audit["hit_count"] = len(audit["hits"])
    audit["images"] = max(audit["images"], audit["untyped_count"])
    return evidence(
        given_run,
        **{
            "audit": audit | fixed.pop("audit", {}),
            "mode": draw(st.sampled_from(Mode)),
            "thresholds": Thresholds(min_blobs=draw(st.integers(1, 5000)), min_bytes=draw(sizes)),
            "history": draw(any_history),
            "passed": tuple(draw(st.sets(st.sampled_from(Ceiling)))),
            "streams": draw(st.sampled_from([StreamAudit(repositories=0), StreamAudit(repositories=0), STILL_THERE])),
            **fixed,
        },
    )


@given(given=any_evidence(audit={"images": 0, "untyped_count": 0}))
def test_a_cluster_without_images_is_never_pruned(given: Evidence) -> None:
    assert decide(given).action is Action.STOP


@given(given=any_evidence())
def test_force_goes_past_no_ceiling(given: Evidence) -> None:
    auto, forced = (decide(given.model_copy(update={"mode": mode})) for mode in (Mode.AUTO, Mode.FORCE))
    if auto.action is Action.STOP:
        assert forced == auto
    reached = {rule.ceiling for rule in RULES if rule.ceiling and rule.speaks(given)}
    if forced.action is Action.PRUNE:
        assert reached <= set(given.passed)
        assert set(forced.passed) == reached


@given(given=any_evidence())
def test_only_what_nothing_speaks_against_is_pruned(given: Evidence) -> None:
    verdict = decide(given)
    assert all(verdict.reasons)
    if verdict.action is Action.PRUNE:
        run = given.dry_run
        assert run is not None
        assert run.complete
        assert run.said is not None
        assert run.said.blobs == run.counted_blobs == given.images.candidates > 0
        assert given.mode is not Mode.NEVER
        assert given.images.hit_count == given.streams.in_use_count == 0


@st.composite
def sound_evidence(draw: st.DrawFn) -> Evidence:
    """Of a dry run that came to its end, on a cluster in which nothing is wrong."""
    run = draw(whole_dry_runs)
    return draw(
        any_evidence(
            st.just(run),
            audit={"candidates": run.counted_blobs, "images": 300, "hits": (), "hit_count": 0, "untyped_count": 0},
            streams=StreamAudit(repositories=run.counted_repositories),
            mode=draw(st.sampled_from([Mode.AUTO, Mode.FORCE])),
            passed=tuple(Ceiling),
        )
    )


@given(given=sound_evidence(), more_blobs=counts, more_bytes=sizes, more_repositories=st.integers(0, 40))
def test_more_garbage_never_turns_prune_into_skip(
    given: Evidence, more_blobs: int, more_bytes: int, more_repositories: int
) -> None:
    run = given.dry_run
    assert run is not None
    assert run.said is not None
    assume(decide(given).action is Action.PRUNE)
    more = dry_run(
        run.said.blobs + more_blobs,
        run.said.rounded_bytes + more_bytes,
        counted_repositories=run.counted_repositories + more_repositories,
        seconds=run.seconds,
    )
    images = given.images.model_copy(update={"candidates": more.counted_blobs})
    grown = given.model_copy(update={"dry_run": more, "images": images})
    assert decide(grown).action is Action.PRUNE
    assert decide(grown.model_copy(update={"passed": ()})).action is not Action.SKIP
