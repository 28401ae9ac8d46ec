"""Evidence and the verdict on it, case by case: what the tests of the decision share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry_prune.pruner.dockerregistry import PrunerResult, Summary
from include.registry_prune.settings.ceilings import CeilingSettings
from include.registry_prune.verdict.decision import Action, Ceiling, Evidence, Mode, Stage, Thresholds
from include.registry_prune.verdict.history import History, PastRun
from include.registry_prune.verdict.references import Hit, NamedImage, ReferenceAudit, StreamAudit

GIB = 1024**3
THRESHOLDS = Thresholds(min_blobs=1000, min_bytes=2 * GIB)
LIMITS = CeilingSettings().limits
CONFIG_OF = NamedImage(name="sha256:e228", reference="registry/tx/empty@sha256:e228", tags=("tx/empty:v1",))
HIT = Hit(digest="sha256:6591", role="config", image=CONFIG_OF)
UNTYPED = NamedImage(
    name="sha256:e228", reference="registry/tx/empty@sha256:e228", repair="oc patch image sha256:e228 …"
)


def dry_run(blobs: int = 5000, size: int = 5 * GIB, **changes: Any) -> PrunerResult:
    """A dry run that came to its end."""
    fields: dict[str, Any] = {
        "mode": "check",
        "said": Summary(blobs=blobs, rounded_bytes=size),
        "counted_blobs": blobs,
        "exit_status": 0,
        "seconds": 60.0,
        "pod": "image-registry-1",
    }
    return PrunerResult(**(fields | changes))


def evidence(run: PrunerResult | None, **changes: Any) -> Evidence:
    """A cluster with 300 Images and 20,000 blobs that they name, of which nothing is said against a delete."""
    candidates = run.counted_blobs if run else 0
    audit = {"candidates": candidates, "images": 300, "stored_references": 20_000} | changes.pop("audit", {})
    fields: dict[str, Any] = {
        "stage": Stage.DELETE if run else Stage.SURVEY,
        "mode": Mode.AUTO,
        "thresholds": THRESHOLDS,
        "limits": LIMITS,
        "dry_run": run,
        "images": ReferenceAudit(**audit),
        "streams": StreamAudit(repositories=run.counted_repositories if run else 0),
        "server": "https://api.berlin:6443",
        "cluster_id": "berlin",
    }
    return Evidence(**(fields | changes))


def earlier(*orphans: int, cluster_id: str = "berlin") -> History:
    """Runs that found so many orphans, the newest first."""
    return History.of(
        PastRun(run_id=str(number), cluster_id=cluster_id, orphaned_blobs=found).to_json()
        for number, found in enumerate(orphans)
    )


@dataclass(frozen=True)
class Case:
    dry_run: PrunerResult | None
    action: Action
    reason: str
    given: dict[str, Any] = field(default_factory=dict)

    def evidence(self, **changes: Any) -> Evidence:
        return evidence(self.dry_run, **(self.given | changes))


FORBIDDEN = dry_run(
    0, 0, exit_status=1, errors=("error listing images: images.image.openshift.io is forbidden",)
)  # "Would delete 0 blobs", and yet it failed
LOST = dry_run(exit_status=None, ended_how="the connection was lost")
FORCE, NEVER = {"mode": Mode.FORCE}, {"mode": Mode.NEVER}
NO_IMAGES = {"audit": {"images": 0, "stored_references": 0}}
NAMED = {"audit": {"hits": (HIT,), "hit_count": 1}}
UNTYPED_ONE = {"audit": {"untyped": (UNTYPED,), "untyped_count": 1}}
GONE = StreamAudit(repositories=26, shown=("shop/frontend", "shop/mailer"))
STILL_THERE = StreamAudit(repositories=1, shown=("a/b",), in_use=("a/b",), in_use_count=1)
FEW_BLOBS_NAMED = {"audit": {"stored_references": 1249}}
ELSEWHERE = {"history": earlier(10, 10, cluster_id="munich")}
MADE = {"audit": {"oldest_at": datetime(2026, 5, 1, tzinfo=UTC)}}
"""When the oldest Image was."""
SLOW = dry_run(seconds=20_000.0)
SLICE = {"history": History(runs=(PastRun(run_id="1", deleted_blobs=700, left_blobs=5000),))}


def seen_before(*, ended_after_days: float, orphans: int | None = 4000, on: str = "berlin") -> dict[str, Any]:
    """An earlier run that ended so many days after the oldest Image of now was made.

    :param orphans: None: no gate had a look.
    :param on: the cluster that it worked with.
    """
    ended = MADE["audit"]["oldest_at"] + timedelta(days=ended_after_days)
    run = PastRun(run_id="1", cluster_id=on, ended_at=ended, orphaned_blobs=orphans)
    return {"history": History(runs=(run,))} | MADE


RENEWED = seen_before(ended_after_days=-1)


def passing(*ceilings: Ceiling) -> dict[str, Any]:
    return {"passed": ceilings, "passed_by": "ada"}


PRUNED = {
    "both reached": Case(dry_run(), Action.PRUNE, "5,000 orphaned blobs ≥ 1,000 and about 5 GiB ≥ 2 GiB"),
    "blobs equal to the threshold": Case(dry_run(1000, 0), Action.PRUNE, "1,000 orphaned blobs ≥ 1,000 but about"),
    "blobs one above": Case(dry_run(1001, 0), Action.PRUNE, "1,001 orphaned blobs ≥ 1,000"),
    "size equal to the threshold": Case(dry_run(1, 2 * GIB), Action.PRUNE, "about 2 GiB ≥ 2 GiB"),
    "size one byte above": Case(dry_run(1, 2 * GIB + 1), Action.PRUNE, "about 2 GiB ≥ 2 GiB"),
    "only blobs reached": Case(dry_run(1000, 1), Action.PRUNE, "but about 1 B < 2 GiB"),
    "only size reached": Case(dry_run(999, 3 * GIB), Action.PRUNE, "999 orphaned blobs < 1,000 but about 3 GiB ≥"),
    "one image only": Case(dry_run(), Action.PRUNE, "≥ 1,000", {"audit": {"images": 1}}),
    "a warning does not stop": Case(dry_run(warnings=("Ignoring unrecognized …",)), Action.PRUNE, "≥ 1,000"),
    "no survey": Case(None, Action.PRUNE, "the survey is switched off"),
    # Force asks for no threshold.
    "force below both": Case(dry_run(1, 38), Action.PRUNE, "thresholds ignored", FORCE),
    "force above both": Case(dry_run(), Action.PRUNE, "thresholds ignored", FORCE),
    "force with an empty blob": Case(dry_run(1, 0), Action.PRUNE, "1 orphaned blob, about 0 B", FORCE),
    # At a ceiling, not above it.
    "four fifths are orphans": Case(dry_run(), Action.PRUNE, "≥", {"audit": {"stored_references": 1250}}),
    "25 repositories go": Case(dry_run(counted_repositories=25), Action.PRUNE, "≥"),
    "ten times the median": Case(dry_run(), Action.PRUNE, "≥", {"history": earlier(500, 500, 500)}),
    "two earlier runs say nothing": Case(dry_run(), Action.PRUNE, "≥", {"history": earlier(1, 1)}),
    "a quiet week is no measure": Case(dry_run(1000, 0), Action.PRUNE, "≥", {"history": earlier(1, 1, 1)}),
    "the same cluster as before": Case(dry_run(), Action.PRUNE, "≥", {"history": earlier(4000)}),
    "a cluster that does not say its id": Case(dry_run(), Action.PRUNE, "≥", ELSEWHERE | {"cluster_id": ""}),
    "repositories whose streams are gone": Case(
        dry_run(), Action.PRUNE, "≥", {"streams": StreamAudit(repositories=2, shown=("a/b",))}
    ),
    # Ceilings that a person let the run pass.
    "share passed": Case(
        dry_run(), Action.PRUNE, "ceiling orphan_share passed by ada", FEW_BLOBS_NAMED | passing(Ceiling.ORPHAN_SHARE)
    ),
    "repositories passed": Case(
        dry_run(), Action.PRUNE, "passed by ada", {"streams": GONE} | passing(Ceiling.REMOVED_REPOSITORIES)
    ),
    "jump passed": Case(
        dry_run(), Action.PRUNE, "earlier_runs passed", {"history": earlier(9, 9, 9)} | passing(Ceiling.EARLIER_RUNS)
    ),
    "untyped passed": Case(dry_run(), Action.PRUNE, "passed by", UNTYPED_ONE | passing(Ceiling.UNTYPED_IMAGES)),
    "other cluster passed": Case(dry_run(), Action.PRUNE, "passed by", ELSEWHERE | passing(Ceiling.OTHER_CLUSTER)),
    "renewed Images passed": Case(dry_run(), Action.PRUNE, "passed by", RENEWED | passing(Ceiling.RENEWED_IMAGES)),
    "one Image is older than the last run": Case(dry_run(), Action.PRUNE, "≥", seen_before(ended_after_days=1)),
    "a new cluster is younger than the last run": Case(
        dry_run(),
        Action.PRUNE,
        "ceiling other_cluster passed by",
        seen_before(ended_after_days=-1, on="munich") | passing(Ceiling.OTHER_CLUSTER),
    ),
    "the first run that says when it ended": Case(dry_run(), Action.PRUNE, "≥", {"history": earlier(4000)} | MADE),
    "a run that saw nothing": Case(dry_run(), Action.PRUNE, "≥", seen_before(ended_after_days=-1, orphans=None)),
    "however long it takes": Case(SLOW, Action.PRUNE, "≥"),
    "what a slice left, below both thresholds": Case(dry_run(999, 1), Action.PRUNE, "left 5,000, this goes on", SLICE),
    "nobody knows who passed it": Case(
        dry_run(),
        Action.PRUNE,
        "passed by a person",
        FEW_BLOBS_NAMED | {"passed": (Ceiling.ORPHAN_SHARE,), "passed_by": ""},
    ),
    "a ceiling that was not reached is not passed": Case(dry_run(), Action.PRUNE, "≥", passing(*Ceiling)),
}
SKIPPED = {
    "blobs one below": Case(dry_run(999, 0), Action.SKIP, "999 orphaned blobs < 1,000 and about 0 B < 2 GiB"),
    "size one byte below": Case(dry_run(1, 2 * GIB - 1), Action.SKIP, "about 2 GiB < 2 GiB"),
    "both one below": Case(dry_run(999, 2 * GIB - 1), Action.SKIP, "999 orphaned blobs < 1,000"),
    "a single blob": Case(dry_run(1, 38), Action.SKIP, "1 orphaned blob < 1,000"),
    "nothing": Case(dry_run(0, 0), Action.SKIP, "no orphaned blobs"),
    "links are no garbage": Case(
        dry_run(0, 0, counted_manifest_links=9000), Action.SKIP, "no orphaned blobs (9,000 manifest links listed"
    ),
    "repositories alone are none": Case(dry_run(0, 0, counted_repositories=9), Action.SKIP, "no orphaned blobs"),
    "force with nothing to do": Case(dry_run(0, 0), Action.SKIP, "no orphaned blobs", FORCE),
    "never above both": Case(dry_run(), Action.SKIP, "hard_prune is set to never", NEVER),
    "never with nothing to do": Case(dry_run(0, 0), Action.SKIP, "hard_prune is set to never", NEVER),
    "never without a survey": Case(None, Action.SKIP, "hard_prune is set to never", NEVER),
    "dry run only": Case(dry_run(), Action.SKIP, "would prune now", {"dry_run_only": True}),
    "dry run only, below": Case(dry_run(1, 1), Action.SKIP, "1 orphaned blob < 1,000", {"dry_run_only": True}),
    "dry run only, force": Case(dry_run(1, 1), Action.SKIP, "would prune now", {"dry_run_only": True} | FORCE),
    "long, but not worth it": Case(dry_run(1, 1, seconds=90_000.0), Action.SKIP, "1 orphaned blob < 1,000"),
    "never, though it would be long": Case(SLOW, Action.SKIP, "never", NEVER),
    "storage missing, passed": Case(
        dry_run(0, 0, missing_storage=True), Action.SKIP, "no orphaned blobs", passing(Ceiling.MISSING_STORAGE)
    ),
}
STOPPED = {
    "no images": Case(dry_run(), Action.STOP, "no Image objects at all", NO_IMAGES),
    "no images, nothing found": Case(dry_run(0, 0), Action.STOP, "no Image objects at all", NO_IMAGES),
    "no images, force": Case(dry_run(), Action.STOP, "Is this the right cluster", NO_IMAGES | FORCE),
    "no images, never": Case(dry_run(), Action.STOP, "no Image objects at all", NO_IMAGES | NEVER),
    "no images, no survey": Case(None, Action.STOP, "no Image objects at all", NO_IMAGES),
    "no images, all ceilings passed": Case(dry_run(), Action.STOP, "no Image objects", NO_IMAGES | passing(*Ceiling)),
    "missing storage": Case(dry_run(0, 0, missing_storage=True), Action.STOP, "is it mounted"),
    "missing storage, force": Case(dry_run(missing_storage=True), Action.STOP, "no repositories", FORCE),
    "zero blobs and exit 1": Case(FORBIDDEN, Action.STOP, "error listing images"),
    "exit 1, force": Case(FORBIDDEN, Action.STOP, "error listing images", FORCE),
    "exit 1, never": Case(FORBIDDEN, Action.STOP, "is forbidden", NEVER),
    "exit 1 with a great summary": Case(dry_run(exit_status=1), Action.STOP, "failed with exit status 1"),
    "killed": Case(dry_run(said=None, exit_status=143), Action.STOP, "exit status 143"),
    "bad flag": Case(dry_run(said=None, counted_blobs=0, exit_status=2), Action.STOP, "exit status 2"),
    "end unknown": Case(LOST, Action.STOP, "unknown (the connection was lost)"),
    "end unknown, all passed": Case(LOST, Action.STOP, "unknown", FORCE | passing(*Ceiling)),
    "no summary": Case(dry_run(said=None), Action.STOP, "no output of dockerregistry"),
    "listed one too few": Case(dry_run(counted_blobs=4999), Action.STOP, "says 5,000 blobs but its log lists 4,999"),
    "listed one too many": Case(dry_run(counted_blobs=5001), Action.STOP, "says 5,000 blobs but its log lists 5,001"),
    "listed none": Case(dry_run(counted_blobs=0), Action.STOP, "nobody knows for certain"),
    "listed too few, force": Case(dry_run(counted_blobs=1), Action.STOP, "its log lists 1", FORCE),
    "kept one too few": Case(dry_run(), Action.STOP, "the kept list has 4,999", {"audit": {"candidates": 4999}}),
    "kept none, all passed": Case(
        dry_run(), Action.STOP, "the kept list has 0", {"audit": {"candidates": 0}} | passing(*Ceiling)
    ),
    "a candidate is named": Case(dry_run(), Action.STOP, "sha256:6591 is the config of Image sha256:e228", NAMED),
    "a candidate is named, force": Case(dry_run(), Action.STOP, "tags tx/empty:v1; registry/tx/empty", NAMED | FORCE),
    "a candidate is named, below": Case(dry_run(1, 38), Action.STOP, "1 candidate of the dry run", NAMED),
    "a candidate is named, all passed": Case(dry_run(), Action.STOP, "an Image names it", NAMED | passing(*Ceiling)),
    "a stream is there": Case(dry_run(), Action.STOP, "the image stream is there: a/b", {"streams": STILL_THERE}),
    "a stream is there, all passed": Case(
        dry_run(), Action.STOP, "image stream is there", {"streams": STILL_THERE} | passing(*Ceiling)
    ),
    "above four fifths": Case(dry_run(), Action.STOP, "80.0% of about 6,249 in the registry", FEW_BLOBS_NAMED),
    "above four fifths, force": Case(dry_run(), Action.STOP, "pass_ceilings: orphan_share", FEW_BLOBS_NAMED | FORCE),
    "no pushed image": Case(dry_run(1, 1), Action.STOP, "100.0% of about 1", {"audit": {"stored_references": 0}}),
    "another ceiling passed": Case(
        dry_run(), Action.STOP, "orphan_share", FEW_BLOBS_NAMED | passing(Ceiling.EARLIER_RUNS)
    ),
    "26 repositories go": Case(dry_run(), Action.STOP, "shop/frontend, shop/mailer and 24 more", {"streams": GONE}),
    "26 repositories counted": Case(dry_run(counted_repositories=26), Action.STOP, "26 repositories would be removed"),
    "repositories, nothing else": Case(dry_run(0, 0), Action.STOP, "26 repositories", {"streams": GONE}),
    "above ten times the median": Case(
        dry_run(), Action.STOP, "than 10 times what earlier runs found (median 499", {"history": earlier(1, 499, 900)}
    ),
    "all Images are new": Case(dry_run(), Action.STOP, "every one of the 300 Images is younger", RENEWED),
    "all Images are new, force": Case(dry_run(), Action.STOP, "ended at 2026-04-30 00:00 UTC", RENEWED | FORCE),
    "an untyped image": Case(dry_run(), Action.STOP, "repair: oc patch image", UNTYPED_ONE),
    "an untyped image, no survey": Case(None, Action.STOP, "pass_ceilings: untyped_images", UNTYPED_ONE),
    "another cluster": Case(dry_run(), Action.STOP, "https://api.berlin:6443 is another cluster", ELSEWHERE),
}
CASES = PRUNED | SKIPPED | STOPPED
