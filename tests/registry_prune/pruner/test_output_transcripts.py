"""The recorded output of the real ``dockerregistry`` is understood: what it said, what was counted, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import LineKind, PrunerResult, Summary
from include.registry_prune.pruner.integrity import IntegrityCheck, IntegrityOutput
from include.registry_prune.pruner.output import PrunerOutput

TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"


def lines_of(name: str) -> list[tuple[Stream, str]]:
    """The lines of a transcript, each with its stream; stdout and stderr were recorded apart."""
    folder = TRANSCRIPTS / name
    return [
        (stream, line)
        for stream in (Stream.STDERR, Stream.STDOUT)
        for line in (folder / stream.value).read_text(encoding="utf-8").splitlines()
    ]


def exit_code(name: str) -> int:
    return int((TRANSCRIPTS / name / "exit_code").read_text(encoding="ascii"))


def pruner_result(name: str, mode: Literal["check", "delete"]) -> PrunerResult:
    output = PrunerOutput(mode)
    for stream, line in lines_of(name):
        output.feed(stream, line)
    return output.result(exit_code(name), pod="image-registry-1")


def integrity_check(name: str) -> IntegrityCheck:
    output = IntegrityOutput()
    for stream, line in lines_of(name):
        output.feed(stream, line)
    return output.result(exit_code(name))


@dataclass(frozen=True)
class Pruned:
    """What a transcript of ``-prune=…`` should be understood as.

    :param said: blobs and bytes of the summary.
    :param counted: blobs, manifest links, repositories in the log; the log is empty at the default level.
    :param problem: parts of the message for the administrator; none for a complete run.
    """

    mode: Literal["check", "delete"]
    said: tuple[int, int] | None
    counted: tuple[int, int, int]
    exit_status: int
    problem: tuple[str, ...] = ()
    missing_storage: bool = False

    @property
    def complete(self) -> bool:
        return not self.problem


FORBIDDEN = "error listing images: images.image.openshift.io is forbidden"
PRUNED = {
    "01-check-default": Pruned("check", (16, 23378), (0, 0, 0), 0),
    "02-check-info": Pruned("check", (16, 23378), (16, 2, 1), 0),
    "03-check-debug": Pruned("check", (16, 23378), (16, 2, 1), 0),
    "05-check-bad-level": Pruned(
        "check", None, (0, 0, 0), 1, ("dry run", "failed with exit status 1", "invalid loglevel bogus")
    ),
    "06-check-json": Pruned("check", (16, 23378), (16, 2, 1), 0),
    "07-delete-default": Pruned("delete", (16, 23378), (0, 0, 0), 0),
    "08-check-after-delete": Pruned("check", (0, 0), (0, 0, 0), 0),
    "10-delete-info": Pruned("delete", (16, 23378), (16, 2, 1), 0),
    "20-norbac-check": Pruned("check", (0, 0), (0, 0, 0), 1, ("dry run", "failed with exit status 1", FORBIDDEN)),
    "22-norbac-delete": Pruned("delete", (0, 0), (0, 0, 0), 1, ("stopped midway", "deleted 0 blobs", FORBIDDEN)),
    "25-bad-token-check": Pruned("check", (0, 0), (0, 0, 0), 1, ("failed", "error listing images: Unauthorized")),
    "26-api-down-check": Pruned("check", (0, 0), (0, 0, 0), 1, ("failed", "connect: connection refused")),
    "30-empty-storage-check": Pruned("check", (0, 0), (0, 0, 0), 0, missing_storage=True),
    "41-readonly-mount-delete": Pruned(
        "delete", (0, 0), (0, 0, 0), 1, ("stopped midway", "failed to prune manifest links in the repository tx/app-1")
    ),
    "43-undeletable-blob-delete": Pruned(
        "delete",
        (9, 13609),
        (0, 0, 0),
        1,
        (
            "stopped midway",
            "deleted 9 blobs, about 13.29 KiB",
            "failed to delete the blob sha256:92e199",
            "another run",
        ),
    ),
    "44-undeletable-blob-delete-info": Pruned(
        "delete",
        (1, 312),
        (1, 0, 0),
        1,
        ("stopped midway", "deleted 1 blob, about 312 B.", "failed to delete the blob sha256:92e199"),
    ),
    "58-no-images-check": Pruned("check", (28, 38564), (0, 0, 0), 0),
    "60-bad-mode": Pruned(
        "check", None, (0, 0, 0), 2, ("failed with exit status 2", "invalid value for the -prune option")
    ),
    "70-concurrent-a": Pruned(
        "delete", (0, 0), (0, 0, 0), 1, ("stopped midway", "readdirent", "no such file or directory")
    ),
    "71-concurrent-b": Pruned("delete", (3012, 6159335), (0, 0, 0), 0),
    "72-sigterm-delete": Pruned("delete", None, (0, 0, 0), 143, ("exit status 143", "it logged no error")),
    "91-multiarch-check": Pruned("check", (1, 38), (1, 2, 0), 0),
    "92-multiarch-delete": Pruned("delete", (1, 38), (1, 2, 0), 0),
}


@dataclass(frozen=True)
class Checked:
    """What a transcript of ``-restore-mode=check-database`` should be understood as."""

    broken: tuple[str, ...]
    exit_status: int
    problem: tuple[str, ...] = ()


CHECKED = {
    "80-integrity-whole": Checked((), 0),
    "81-integrity-layer-missing": Checked(('"tx/app-0:v0" in position 0: image blob "sha256:c61bcb81',), 0),
    "82-integrity-manifest-missing": Checked(('"tx/app-0:v0" in position 0: image "sha256:20c87022',), 0),
    "84-integrity-norbac": Checked((), 1, ("exit status 1", "imagestreams.image.openshift.io is forbidden")),
    "85-integrity-without-experimental": Checked((), 2, ("exit status 2", "option -restore-mode is experimental")),
    "93-multiarch-integrity-after": Checked((), 0),
    "95-integrity-oci-config-missing": Checked(('"tx/oci:latest" in position 0: image blob "sha256:447d04eb',), 0),
    "96-integrity-layer-of-multiarch-child-missing": Checked(
        ('"tx/oci:latest" in position 0: image blob "sha256:447d04eb', 'Broken image "sha256:00cf0ab9'), 0
    ),
}


def test_every_transcript_is_in_one_of_the_tables() -> None:
    recorded = {folder.name for folder in TRANSCRIPTS.iterdir() if folder.name[:2].isdigit()}
    assert recorded == set(PRUNED) | set(CHECKED)
    assert not set(PRUNED) & set(CHECKED)


@pytest.mark.parametrize("name", PRUNED)
def test_a_run_of_the_pruner_is_understood(name: str) -> None:
    expected = PRUNED[name]
    result = pruner_result(name, expected.mode)

    said = None if expected.said is None else Summary(blobs=expected.said[0], rounded_bytes=expected.said[1])
    assert result.said == said
    assert (result.counted_blobs, result.counted_manifest_links, result.counted_repositories) == expected.counted
    assert result.exit_status == expected.exit_status
    assert result.complete is expected.complete
    assert result.missing_storage is expected.missing_storage
    assert result.unknown_line_count == 0
    problem = result.problem()
    if expected.complete:
        assert problem is None
        assert result.errors == ()
    else:
        assert problem is not None
        assert "image-registry-1" in problem
        for part in expected.problem:
            assert part in problem


@pytest.mark.parametrize("name", CHECKED)
def test_an_integrity_check_is_understood(name: str) -> None:
    expected = CHECKED[name]
    check = integrity_check(name)

    assert check.exit_status == expected.exit_status
    assert check.broken_count == len(expected.broken)
    for line, part in zip(check.broken, expected.broken, strict=True):
        assert part in line
    problem = check.problem()
    if expected.problem:
        assert problem is not None
        for part in expected.problem:
            assert part in problem
    else:
        assert problem is None


def candidates(name: str) -> list[tuple[LineKind, str]]:
    output = PrunerOutput("check")
    listed = [output.feed(stream, line) for stream, line in lines_of(name)]
    wanted = (LineKind.BLOB, LineKind.MANIFEST_LINK, LineKind.REPOSITORY)
    return [(line.kind, line.subject) for line in listed if line.kind in wanted]


def test_both_log_formats_and_the_debug_level_say_the_same() -> None:
    text, as_json, debug = (candidates(name) for name in ("02-check-info", "06-check-json", "03-check-debug"))
    assert len(text) == 19
    assert text == as_json == debug
    assert pruner_result("02-check-info", "check") == pruner_result("06-check-json", "check")


def test_a_dry_run_and_its_delete_name_blobs_in_the_same_way() -> None:
    deleted = PrunerOutput("delete")
    subjects = {deleted.feed(*line) for line in lines_of("92-multiarch-delete")}
    listed = PrunerOutput("check")
    blobs = {listed.feed(*line) for line in lines_of("91-multiarch-check")}
    kinds = (LineKind.BLOB, LineKind.MANIFEST_LINK)
    assert {line for line in subjects if line.kind in kinds} == {line for line in blobs if line.kind in kinds}


@pytest.mark.parametrize("name", ["01-check-default", "07-delete-default"])
def test_the_summary_of_the_other_mode_is_no_summary(name: str) -> None:
    other: Literal["check", "delete"] = "delete" if PRUNED[name].mode == "check" else "check"
    result = pruner_result(name, other)
    assert result.said is None
    assert not result.complete
    assert result.unknown_line_count == 2
