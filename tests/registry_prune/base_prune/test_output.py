"""What ``oc adm prune images`` prints: its summaries, its attempts, and why it failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.base_prune.output import KEPT_LOG_LINES, PruneFigures, PruneLog, find_cause, parse_summary

EVERYTHING = (
    "Summary: deleted 3 image object(s), deleted 4 image stream tag item(s), updated 2 image stream(s), "
    "deleted 1200 layer link(s), deleted 5 manifest link(s), deleted 17 blob(s)"
)
NEXT_ATTEMPT = "attempt #{} has failed (exit code 1), going to make another attempt..."
UNAVAILABLE = "the server is currently unable to handle the request"


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        (EVERYTHING, PruneFigures(images=3, image_stream_tags=4, image_streams=2, layer_links=1200, manifest_links=5,
                                  blobs=17)),
        ("Summary: deleted 0 objects", PruneFigures()),
        ("deleted 0 objects", PruneFigures()),
        ("Summary: updated 2 image stream(s)", PruneFigures(image_streams=2)),
        (" Summary: deleted 2 blob(s) ", PruneFigures(blobs=2)),
    ],
    ids=["everything", "nothing", "nothing, bare", "only updated", "blanks around it"],
)  # fmt: skip
def test_the_figures_of_a_summary(line: str, figures: PruneFigures) -> None:
    assert parse_summary(line) == figures


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Summary:",
        "Summary: ",
        "Deleting 2 items from image stream ns/app",
        "Summary: deleted 3 frobs",
        "Summary: deleted 3 objects",
        "Summary: deleted 1 blob(s), and more",
        "Summary: deleted -1 blob(s)",
        "Summary: deleted ١ blob(s)",
        f"Summary: deleted {'9' * 5000} blob(s)",
        "error: Summary: deleted 1 blob(s)",
    ],
)
def test_what_is_no_summary_has_no_figures(line: str) -> None:
    """Guards: a summary that is not understood must not be taken for "nothing was deleted"."""
    assert parse_summary(line) is None


counts = st.integers(0, 10**12)


@given(figures=st.builds(PruneFigures, images=counts, image_stream_tags=counts, image_streams=counts,
                         layer_links=counts, manifest_links=counts, blobs=counts))  # fmt: skip
def test_every_summary_that_the_pruner_can_print_is_read_back(figures: PruneFigures) -> None:
    told = (
        (figures.images, "deleted {} image object(s)"),
        (figures.image_stream_tags, "deleted {} image stream tag item(s)"),
        (figures.image_streams, "updated {} image stream(s)"),
        (figures.layer_links, "deleted {} layer link(s)"),
        (figures.manifest_links, "deleted {} manifest link(s)"),
        (figures.blobs, "deleted {} blob(s)"),
    )
    line = ", ".join(text.format(count) for count, text in told if count) or "deleted 0 objects"
    assert parse_summary(f"Summary: {line}") == figures


def read(*lines: str, dry_run: bool = False) -> PruneLog:
    log = PruneLog(dry_run=dry_run)
    for line in lines:
        log.feed(line)
    return log


def test_what_a_failed_attempt_deleted_counts_too() -> None:
    """Guards the sum: each attempt deletes, and its summary says so, also if it goes on to fail."""
    log = read("Summary: deleted 2 blob(s)", "error: no", NEXT_ATTEMPT.format(1), "Summary: deleted 3 blob(s)")
    assert (log.figures, log.attempts) == (PruneFigures(blobs=5), 2)
    assert log.summary == "Summary: deleted 3 blob(s)"


def test_what_a_failed_attempt_of_a_dry_run_would_have_deleted_does_not() -> None:
    log = read("Summary: deleted 2 blob(s)", NEXT_ATTEMPT.format(1), "Summary: deleted 3 blob(s)", dry_run=True)
    assert log.figures == PruneFigures(blobs=3)


def test_a_log_without_a_summary_has_no_figures() -> None:
    assert read("Deleting image sha256:1a", "error: the server is away").figures is None


def test_a_long_log_is_kept_in_part_and_its_figures_whole() -> None:
    log = read("first", EVERYTHING, *(f"line {number}" for number in range(10 * KEPT_LOG_LINES)))
    assert len(log.end().splitlines()) == KEPT_LOG_LINES
    assert log.end().endswith(f"line {10 * KEPT_LOG_LINES - 1}")
    assert log.figures is not None


@pytest.mark.parametrize(
    ("line", "passes", "advice"),
    [
        (f"Error from server (ServiceUnavailable): {UNAVAILABLE} (get images.image.openshift.io)", True,
         "The OpenShift API server, which serves images"),
        (f"Error from server (ServiceUnavailable): {UNAVAILABLE} (get builds.build.openshift.io)", True,
         "The OpenShift API server, which serves images"),
        (f"error updating image stream a/b to remove image references: {UNAVAILABLE} (put "
         "imagestreams.image.openshift.io)", True, "The OpenShift API server, which serves images"),
        (f"Error from server (ServiceUnavailable): {UNAVAILABLE} (get pods)", True, "The API server did not answer"),
        ("The connection to the server 172.30.0.1:443 was refused - did you specify the right host or port?", True,
         "The API server did not answer"),
        ("The following objects have invalid references:", False, "ignoreInvalidImageReferences"),
        ("error: failed to ping registry https://image-registry.openshift-image-registry.svc:5000: dial tcp: i/o "
         "timeout", False, "does not reach the registry"),
        ('Error from server (Forbidden): images.image.openshift.io is forbidden: User "x" cannot list resource', False,
         "openshift-image-registry-pruner"),
    ],
)  # fmt: skip
def test_a_known_cause_is_named_with_what_to_do(line: str, passes: bool, advice: str) -> None:
    cause = find_cause(["something", line, "something"])
    assert cause is not None
    assert cause.passes is passes
    assert advice in cause.advice


def test_only_the_last_attempt_tells_the_cause() -> None:
    """Guards: an outage that was over again would make a real failure look as if it passed by itself."""
    unavailable = f"Error from server (ServiceUnavailable): {UNAVAILABLE} (get images.image.openshift.io)"
    log = read(unavailable, NEXT_ATTEMPT.format(1), "error: failed to delete blob")
    assert log.cause() is None
    assert unavailable in log.end()


CHANGED = (
    'imagestream shop/app: Operation cannot be fulfilled on imagestreams.image.openshift.io "app": the object has been '
    "modified; please apply your changes to the latest version and try again"
)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["Summary: deleted 2 blob(s)", f"error: {CHANGED}"], 1),
        (["Summary: deleted 2 blob(s)", CHANGED, "", CHANGED.replace("app", "web")], 2),
        ([CHANGED, NEXT_ATTEMPT.format(5), "Summary: deleted 0 objects", CHANGED], 1),
        (["Summary: deleted 2 blob(s)", CHANGED, "image sha256:1a: failed to delete blob sha256:1a: 500"], 0),
        (["Summary: deleted 2 blob(s)", CHANGED.replace("imagestreams", "images")], 0),
        ([CHANGED], 0),
        (["Summary: deleted 2 blob(s)", CHANGED, NEXT_ATTEMPT.format(1), "Deleting image sha256:1a"], 0),
        (["Summary: deleted 2 blob(s)"], 0),
        ([], 0),
    ],
    ids=["one", "two", "the last attempt", "something else too", "another kind", "no summary", "cut short",
         "nothing wrong", "no log"],
)  # fmt: skip
def test_streams_that_were_changed_meanwhile_are_told_from_everything_else(lines: list[str], left: int) -> None:
    """Guards: a failure of anything else must end the run."""
    assert read(*lines).streams_left() == left


@given(lines=st.lists(st.text() | st.text().map(lambda text: f"Summary: deleted {text}"), max_size=4), dry_run=...)
def test_no_log_is_too_strange(lines: list[str], dry_run: bool) -> None:
    log = read(*lines, dry_run=dry_run)
    assert (log.figures is None) is (log.summary == "")
    log.cause()
    assert log.streams_left() == 0
