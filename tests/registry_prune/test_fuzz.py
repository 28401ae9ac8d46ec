"""Whatever a program, a file or a person hands in is read, or is an error; and damage is never a ground to prune.

A few inputs in the usual run of the tests; ``make fuzz`` tries more than 100,000.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck, IntegrityOutput
from include.registry_prune.pruner.output import PrunerOutput
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.clusters_file import load_clusters
from include.registry_prune.settings.parameters import RunParameters, SettingsError, parse_parameters
from include.registry_prune.verdict.decision import Action, Evidence, Mode, Stage, Verdict, decide
from include.registry_prune.verdict.history import KEPT_RUNS, History
from include.registry_prune.verdict.references import (
    MalformedObjectError,
    ReferenceAudit,
    StreamAudit,
    audit,
    audit_streams,
    digest_bytes,
)
from include.registry_prune.window.lease import Lease, LeaseError, parse_lease
from tests.registry_prune.verdict.verdict_cases import LIMITS, evidence

pytestmark = pytest.mark.fuzz
TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"


def recorded(case: str) -> tuple[list[str], list[str]]:
    """Lines of stdout and of stderr of a real dry run."""
    stdout, stderr = ((TRANSCRIPTS / case / name).read_text().splitlines() for name in ("stdout", "stderr"))
    return stdout, stderr


RECORDED = [recorded(case) for case in ("02-check-info", "06-check-json", "91-multiarch-check")]
"""Dry runs in both log formats, and one that lists links as well."""

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def read(stdout: Sequence[str], stderr: Sequence[str], exit_status: int | None = 0) -> tuple[Evidence, set[bytes]]:
    """The evidence that some output makes, with every candidate of it, in a cluster where all else is well."""
    output, candidates = PrunerOutput("check"), set()
    for stream, lines in ((Stream.STDERR, stderr), (Stream.STDOUT, stdout)):
        for line in lines:
            understood = output.feed(stream, line)
            if understood.kind is LineKind.BLOB:
                candidates.add(digest_bytes(understood.subject) or b"")
    result = output.result(exit_status, seconds=1.0)
    given = evidence(result, mode=Mode.FORCE, audit={"candidates": len(candidates)})
    return given, candidates


def is_pruned(stdout: Sequence[str], stderr: Sequence[str], exit_status: int | None = 0) -> bool:
    given, candidates = read(stdout, stderr, exit_status)
    pruned = decide(given).action is Action.PRUNE
    if pruned:
        assert given.dry_run is not None
        assert given.dry_run.said is not None
        assert given.dry_run.said.blobs == given.dry_run.counted_blobs == len(candidates) > 0
        assert exit_status == 0
    return pruned


def test_what_is_damaged_here_would_be_pruned_as_it_was_recorded() -> None:
    assert all(is_pruned(stdout, stderr) for stdout, stderr in RECORDED)


def _matters(line: str) -> bool:
    return "delete blob" in line or ("Would" in line and "link" not in line and "repository" not in line)


@given(case=st.sampled_from(RECORDED), data=st.data())
def test_output_that_lost_a_line_is_never_pruned(case: tuple[list[str], list[str]], data: st.DataObject) -> None:
    lines = [(stream, line) for stream, part in zip(Stream, case, strict=True) for line in part]
    lost = data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1))
    kept = [each for place, each in enumerate(lines) if place not in lost]
    stdout, stderr = ([line for stream, line in kept if stream is wanted] for wanted in Stream)
    if any(_matters(lines[place][1]) for place in lost):
        assert not is_pruned(stdout, stderr)


@given(case=st.sampled_from(RECORDED), data=st.data())
def test_output_that_was_cut_off_is_never_pruned(case: tuple[list[str], list[str]], data: st.DataObject) -> None:
    stdout, stderr = ("\n".join(part) for part in case)
    # The last thing that matters in each of the two: what follows may be lost.
    ends = [stdout.index(" of disk space") + len(" of disk space"), stderr.rindex("delete blob: sha256:") + 84]
    which = data.draw(st.integers(0, 1))
    parts = [stdout, stderr]
    parts[which] = parts[which][: data.draw(st.integers(0, ends[which] - 1))]
    assert not is_pruned(parts[0].splitlines(), parts[1].splitlines())


@given(
    case=st.sampled_from(RECORDED),
    places=st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=8),
    exit_status=st.sampled_from([0, 0, 0, 1, 143, None]),
)
def test_output_with_garbage_in_it_is_pruned_only_if_said_and_listed_agree(
    case: tuple[list[str], list[str]], places: list[tuple[int, float, bytes]], exit_status: int | None
) -> None:
    parts = ["\n".join(part).encode() for part in case]
    for which, share, garbage in places:
        place = int(share * len(parts[which]))
        parts[which] = parts[which][:place] + garbage + parts[which][place + len(garbage) :]
    stdout, stderr = (part.decode(errors="replace").split("\n") for part in parts)
    is_pruned(stdout, stderr, exit_status)


@given(lines=st.lists(st.sampled_from([*RECORDED[0][1], *RECORDED[1][1]]) | st.text(max_size=80), max_size=30))
def test_a_list_without_its_summary_is_never_pruned(lines: list[str]) -> None:
    assert not is_pruned([], lines)


RESULT = read(*RECORDED[0])[0].dry_run
assert RESULT is not None
RESULT_JSON = RESULT.to_json()


@given(changes=st.dictionaries(st.sampled_from(sorted(RESULT_JSON)), any_json, min_size=1, max_size=3))
def test_a_dry_run_that_came_through_xcom_damaged(changes: dict[str, Any]) -> None:
    try:
        result = PrunerResult.from_json(RESULT_JSON | changes)
        given = evidence(result, mode=Mode.FORCE, audit={"candidates": RESULT_JSON["counted_blobs"]})
    except ValidationError:
        return
    if decide(given).action is Action.PRUNE:
        assert result.complete
        assert result.said is not None
        assert result.said.blobs == result.counted_blobs == RESULT_JSON["counted_blobs"]


IMAGE = {
    "metadata": {"name": "sha256:" + "ab" * 32, "annotations": {"openshift.io/image.managed": "true"}},
    "dockerImageReference": "registry/ns/app",
    "dockerImageMetadata": {"Id": "sha256:" + "cd" * 32},
    "dockerImageLayers": [{"name": "sha256:" + "ef" * 32}],
    "dockerImageManifests": [],
    "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
}
CANDIDATES = {bytes.fromhex("ab" * 32)}


@given(
    changes=st.dictionaries(st.sampled_from(sorted(IMAGE)), any_json, max_size=3),
    removed=st.sets(st.sampled_from(sorted(IMAGE))),
)
def test_an_image_of_any_kind_is_read_or_an_error(changes: dict[str, Any], removed: set[str]) -> None:
    image = {name: value for name, value in (IMAGE | changes).items() if name not in removed}
    try:
        found = audit(CANDIDATES, [IMAGE, image])
    except MalformedObjectError:
        return
    assert ReferenceAudit.from_json(found.to_json()) == found
    assert (found.images, found.hit_count) == (2, 1)


@given(stream=any_json, tags=any_json)
def test_an_image_stream_of_any_kind_is_read_or_an_error(stream: Any, tags: Any) -> None:
    for each in (stream, {"metadata": {"namespace": "ns", "name": "app"}, "status": {"tags": tags}}):
        try:
            found = audit_streams({"ns/app"}, [each], images={"sha256:a"})
        except MalformedObjectError:
            continue
        assert StreamAudit.from_json(found.to_json()) == found


@given(values=st.lists(any_json, max_size=30))
def test_whatever_earlier_runs_left(values: list[Any]) -> None:
    known = History.of(values)
    assert len(known.runs) <= KEPT_RUNS
    assert known.median_orphans is None or known.median_orphans >= 0


NAMES = st.sampled_from([*ClusterSettings.model_fields, *RunParameters.model_fields, "orphan_share", "untyped_images"])
NEARLY = st.dictionaries(
    NAMES | st.text(max_size=8), any_json | st.dictionaries(NAMES, any_json, max_size=3), max_size=4
)


@given(content=any_json | st.dictionaries(st.sampled_from(["default", "berlin"]), NEARLY, max_size=2))
def test_settings_of_any_kind_are_taken_or_refused(content: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed-clusters.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        clusters = load_clusters(file)
    except SettingsError:
        return
    for cluster in clusters:
        limits = cluster.ceilings.limits
        assert not cluster.parameters.pass_ceilings
        nothing = evidence(None, audit={"images": 0}, limits=limits, thresholds=cluster.parameters.thresholds)
        assert decide(nothing).action is Action.STOP


@given(text=st.text(max_size=60) | st.binary(max_size=60))
def test_a_clusters_file_of_any_content_is_read_or_refused(
    text: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed-text.yaml"
    file.write_bytes(text.encode(errors="replace") if isinstance(text, str) else text)
    try:
        assert all(isinstance(cluster, ClusterSettings) for cluster in load_clusters(file))
    except SettingsError:
        return


@given(conf=NEARLY)
def test_parameters_of_any_kind_are_taken_or_refused(conf: dict[str, Any]) -> None:
    try:
        parameters = parse_parameters(conf, RunParameters())
    except SettingsError:
        return
    Evidence(
        stage=Stage.SURVEY,
        mode=parameters.hard_prune,
        thresholds=parameters.thresholds,
        limits=LIMITS,
        dry_run=None,
        images=ReferenceAudit(candidates=0, images=1),
        passed=parameters.pass_ceilings,
    )


@given(annotation=st.none() | st.text(max_size=80) | any_json.map(json.dumps))
def test_a_lease_that_somebody_edited(annotation: str | None) -> None:
    try:
        lease = parse_lease(annotation)
    except LeaseError:
        return
    assert lease is None or isinstance(lease, Lease)


@given(
    lines=st.lists(st.tuples(st.sampled_from(Stream), st.text(max_size=80)), max_size=10),
    status=st.none() | st.integers(0, 255),
)
def test_integrity_output_of_any_kind(lines: list[tuple[Stream, str]], status: int | None) -> None:
    output = IntegrityOutput()
    for stream, line in lines:
        output.feed(stream, line)
    check = output.result(status)
    assert IntegrityCheck.from_json(json.loads(json.dumps(check.to_json()))) == check
    assert (check.problem() is None) is (status == 0)


@given(value=any_json)
def test_a_verdict_is_read_or_an_error(value: Any) -> None:
    try:
        Verdict.from_json(value)
    except ValidationError:
        return
    pytest.fail(f"{value!r} was taken for a verdict")
