"""What the pruner prints is taken as data: any line is understood as something, in bounded memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import (
    CHECK_COMMAND,
    INTEGRITY_COMMAND,
    LineKind,
    PrunerResult,
    Summary,
)
from include.registry_prune.pruner.output import KEPT_LINE_CHARACTERS, KEPT_LINES, Line, PrunerOutput, understand

DIGEST = "sha256:" + "ab" * 32

# Text as it is, bytes as they come out of the decoder, and text that nearly is a line of the pruner.
ANY_TEXT = st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode(errors="replace"))
NEARLY = st.builds(
    lambda head, middle, tail: head + middle + tail,
    st.sampled_from(
        [
            'time="x" level=info msg="',
            "time=x level=error msg=",
            'time="x" level=warning msg="\\ud800',
            '{"level":"info","msg":"',
            '{"level":"error","msg":"\\ud800',
            '{"level":',
            "Would delete ",
            "Freed up ",
            "",
        ]
    ),
    ANY_TEXT,
    st.sampled_from(['"', '"}', " blobs", " of disk space", "\\", ""]),
)
LINES = st.lists(st.tuples(st.sampled_from(Stream), ANY_TEXT | NEARLY), max_size=8)


@given(line=ANY_TEXT | NEARLY)
def test_no_line_is_too_strange(line: str) -> None:
    assert understand(line).kind in LineKind


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 20_000, '{"msg":' + "[" * 20_000, "{" * 20_000])
def test_no_line_is_too_deep(line: str) -> None:
    assert understand(line).kind is LineKind.UNKNOWN


@given(lines=LINES, mode=st.sampled_from(["check", "delete"]), exit_status=st.none() | st.integers(0, 255))
def test_no_output_is_too_strange_and_the_result_travels_as_json(
    lines: list[tuple[Stream, str]], mode: Any, exit_status: int | None
) -> None:
    output = PrunerOutput(mode)
    for stream, line in lines:
        output.feed(stream, line)
    result = output.result(exit_status, ended_how="the connection was lost")
    assert sum(output.counts.values()) == len(lines)
    assert PrunerResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert (result.problem() is None) is result.complete


@given(message=st.text())
def test_a_message_is_the_same_in_both_log_formats(message: str) -> None:
    as_json = understand(json.dumps({"level": "error", "msg": message, "time": "2026"}))
    as_text = understand(f'time="2026" level=error msg={json.dumps(message)} go.version=go1.26.6')
    assert as_json == as_text == (LineKind.ERROR, message)


@pytest.mark.parametrize(
    ("message", "kind", "subject"),
    [
        (f"Would delete blob: {DIGEST}", LineKind.BLOB, DIGEST),
        (f"Deleting blob: /docker/registry/v2/blobs/sha256/ab/{'ab' * 32}", LineKind.BLOB, DIGEST),
        (f"Would delete manifest link: ns/app@{DIGEST}", LineKind.MANIFEST_LINK, f"ns/app@{DIGEST}"),
        (f"Deleting manifest link: ns/app@{DIGEST}", LineKind.MANIFEST_LINK, f"ns/app@{DIGEST}"),
        ("Would delete repository: ns/app", LineKind.REPOSITORY, "ns/app"),
        ("Deleting repo: /docker/registry/v2/repositories/ns/app", LineKind.REPOSITORY, "ns/app"),
        ("Would delete blob: sha256:short", LineKind.NOTE, "Would delete blob: sha256:short"),
        (f"Keeping the blob {DIGEST}", LineKind.NOTE, f"Keeping the blob {DIGEST}"),
    ],
)
@pytest.mark.parametrize("form", ['time="2026" level=info msg={} a=b', '{{"level":"info","msg":{},"time":"2026"}}'])
def test_what_a_log_line_is_about(form: str, message: str, kind: LineKind, subject: str) -> None:
    assert understand(form.format(json.dumps(message))) == (kind, subject)


@pytest.mark.parametrize("level", ["error", "fatal", "panic"])
def test_an_error_is_an_error_whatever_it_talks_about(level: str) -> None:
    line = f'time="2026" level={level} msg="Would delete blob: {DIGEST}"'
    assert understand(line).kind is LineKind.ERROR


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh: 1: /usr/bin/dockerregistry: not found",
        f"Would delete blob: {DIGEST}",
        "Would delete 5 blobs",
        "{}",
        '{"level":"info"}',
        '{"level":1,"msg":"x"}',
        "",
    ],
)
def test_a_line_of_no_log_format_is_unknown(line: str) -> None:
    assert understand(line) == (LineKind.UNKNOWN, line)


@pytest.mark.parametrize(
    "line",
    [
        "Would delete some blobs",
        "Would delete -1 blobs",
        "Would delete 5 blobs!",
        "Would delete ٥ blobs",
        f"Would delete {'9' * 5000} blobs",
        "Would free up a lot of disk space",
        "Would free up  of disk space",
        "Deleted 5 blobs",
    ],
)
def test_what_only_resembles_the_summary_is_unknown(line: str) -> None:
    output = PrunerOutput("check")
    assert output.feed(Stream.STDOUT, line).kind is LineKind.UNKNOWN
    assert output.result(0).said is None


def test_a_summary_on_the_stream_of_the_log_does_not_count() -> None:
    output = PrunerOutput("check")
    for line in ("Would delete 5 blobs", "Would free up 5B of disk space"):
        output.feed(Stream.STDERR, line)
    assert output.result(0).said is None


@pytest.mark.parametrize("line", ["Would delete 5 blobs", "Would free up 5B of disk space"])
def test_half_a_summary_is_none(line: str) -> None:
    output = PrunerOutput("check")
    output.feed(Stream.STDOUT, line)
    result = output.result(0)
    assert result.said is None
    assert not result.complete


def test_all_lines_are_counted_but_only_some_are_kept_and_cut() -> None:
    output = PrunerOutput("check")
    for number in range(KEPT_LINES + 5):
        output.feed(Stream.STDERR, f"noise {number} {'x' * 5000}")
        output.feed(Stream.STDERR, f'time="2026" level=error msg="error {number} {"x" * 5000}"')
    result = output.result(1)
    assert result.unknown_line_count == KEPT_LINES + 5
    assert len(result.unknown_lines) == len(result.errors) == KEPT_LINES
    assert result.unknown_lines[0].startswith("noise 0 ")
    assert {len(line) for line in (*result.unknown_lines, *result.errors)} == {KEPT_LINE_CHARACTERS}


def outcome(**changes: Any) -> PrunerResult:
    fields: dict[str, Any] = {
        "mode": "delete",
        "said": Summary(blobs=9, rounded_bytes=1024),
        "counted_blobs": 9,
        "exit_status": 0,
        "pod": "image-registry-7bd6b4ddf7-b5zkz",
    }
    return PrunerResult(**(fields | changes))


@pytest.mark.parametrize(
    ("result", "parts"),
    [
        (
            outcome(exit_status=None, said=None, ended_how="the connection was lost"),
            ("The end of the delete", "unknown (the connection was lost)", "deleted 9 blobs (counted in its log"),
        ),
        (outcome(exit_status=None, ended_how="cut"), ("is unknown (cut)", "deleted 9 blobs, about 1 KiB")),
        (outcome(exit_status=1, errors=("unlinkat: no",)), ("stopped midway", "unlinkat: no", "another run is safe")),
        (outcome(exit_status=137, said=None), ("failed with exit status 137", "it logged no error")),
        (
            outcome(said=None, unknown_lines=("hello",), unknown_line_count=1),
            ("without the pruner's summary", "no output of dockerregistry", "1 line that", "hello"),
        ),
        (
            outcome(mode="check", exit_status=1, errors=("Unauthorized",)),
            ("The dry run", "failed with exit status 1", "Unauthorized"),
        ),
    ],
)
def test_a_problem_says_what_happened_and_in_which_pod(result: PrunerResult, parts: tuple[str, ...]) -> None:
    problem = result.problem()
    assert problem is not None
    assert "image-registry-7bd6b4ddf7-b5zkz" in problem
    for part in parts:
        assert part in problem


@pytest.mark.parametrize("exit_status", [None, 1, 2, 126, 127, 137, 143])
def test_only_exit_status_zero_with_the_summary_is_complete(exit_status: int | None) -> None:
    assert outcome().complete
    assert not outcome(exit_status=exit_status).complete
    assert not outcome(said=None).complete


@pytest.mark.parametrize("command", [CHECK_COMMAND, INTEGRITY_COMMAND])
def test_the_log_is_set_explicitly_so_that_the_containers_own_level_does_not_matter(command: tuple[str, ...]) -> None:
    shell, option, script = command
    assert (shell, option) == ("/bin/sh", "-c")
    assert script.rpartition("; ")[2].startswith(
        "REGISTRY_LOG_LEVEL=info REGISTRY_LOG_FORMATTER=json exec /usr/bin/dockerregistry -"
    )


def blob_line(digest: str = "ab" * 32, **changes: str) -> str:
    """A line as the real pruner prints it (transcript 06)."""
    fields = {"version": "go1.26.6", "level": "info", "message": f"Would delete blob: sha256:{digest}", "time": "2026"}
    fields |= changes
    return (
        f'{{"go.version":"{fields["version"]}","level":"{fields["level"]}","msg":"{fields["message"]}",'
        f'"time":"{fields["time"]}"}}'
    )


ODD_TEXT = st.sampled_from(
    ["", "x", "\\", '"', '\\"', "\\u0041", "\n", "\r", "\x00", "\x85", "é", "\u2028", '","level":"error']
)
ODD_LINES = st.builds(
    lambda digest, changes, before, after: before + blob_line(digest, **changes) + after,
    st.sampled_from(["ab" * 32, "AB" * 32, "ab" * 31, "é" * 32, "a" * 63 + "\n", '"' * 64]),
    st.dictionaries(st.sampled_from(["version", "level", "time", "message"]), ODD_TEXT | ANY_TEXT, max_size=1),
    ODD_TEXT,
    ODD_TEXT,
)
BLOCK_LINES = st.just(blob_line()) | ODD_LINES | NEARLY | ANY_TEXT


@example(lines=[blob_line(time="\\")], damage=None, last_end=b"\n").via("an escaped quote")
@example(lines=[blob_line(version="\\")], damage=None, last_end=b"\n").via("an escaped quote")
@example(lines=["x" + blob_line()], damage=None, last_end=b"\n").via("something before it")
@example(lines=[blob_line() + "x"], damage=None, last_end=b"\n").via("something behind it")
@example(lines=[blob_line(), "x"], damage=None, last_end=b"\n").via("one that is odd")
@example(lines=[blob_line(), "x"], damage=None, last_end=b"").via("no line end at the end")
@example(lines=[blob_line(time="\n")], damage=None, last_end=b"\n").via("two lines that look like one")
@example(lines=[blob_line("AB" * 32)], damage=None, last_end=b"\n").via("no hexadecimal digits")
@example(lines=[blob_line() + "\r"], damage=None, last_end=b"\n").via("another line end")
@example(lines=[blob_line(level="error")], damage=None, last_end=b"\n").via("an error")
@given(
    lines=st.lists(BLOCK_LINES | BLOCK_LINES.map(lambda line: blob_line() + "\n" + line), max_size=5),
    damage=st.none() | st.tuples(st.integers(0, 2_000), st.binary(max_size=3)),
    last_end=st.sampled_from([b"\n", b""]),
)
def test_a_block_is_understood_as_its_lines_are(
    lines: list[str], damage: tuple[int, bytes] | None, last_end: bytes
) -> None:
    """Guards the quick way through a block: whatever is in it, the full parser has the last word."""
    block = "\n".join(lines).encode(errors="replace") + last_end
    if damage:
        place, instead = damage
        block = block[: place % (len(block) + 1)] + instead + block[place % (len(block) + 1) + 1 :]
    if not block:
        return
    by_block, by_line = PrunerOutput("check"), PrunerOutput("check")
    understood = by_block.feed_block(Stream.STDERR, block)
    expected = [
        by_line.feed(Stream.STDERR, line.removesuffix(b"\r").decode(errors="replace"))
        for line in block.removesuffix(b"\n").split(b"\n")
    ]
    found = [Line(LineKind.BLOB, f"sha256:{digest.decode()}") for digest in understood.blobs] + understood.lines
    assert found == expected
    assert by_block.result(0) == by_line.result(0)
    assert by_block.counts == by_line.counts


@example(line=blob_line(message="Would delete repository: a\\u0062"))
@example(line=blob_line(time="\\"))
@example(line=blob_line(version="\\"))
@example(line=blob_line(level="error"))
@given(line=BLOCK_LINES.filter(lambda line: "\n" not in line))
def test_a_log_line_is_understood_as_the_json_parser_does(line: str) -> None:
    """Guards the quick way through a line."""
    try:
        value = json.loads(line, strict=False)
    except ValueError:
        value = None
    if not line.startswith("{") or not isinstance(value, dict):
        assert understand(line).kind is LineKind.UNKNOWN or line.startswith("time=")
        return
    level, message = value.get("level"), value.get("msg")
    if isinstance(level, str) and isinstance(message, str):
        # In this order of fields there is no quick way.
        assert understand(line) == understand(json.dumps({"msg": message, "level": level}))
    else:
        assert understand(line) == (LineKind.UNKNOWN, line)


def test_the_lines_of_a_real_dry_run_go_the_quick_way() -> None:
    """Without it a dry run of millions of lines is ten times as slow."""
    text = (Path(__file__).parents[2] / "transcripts" / "06-check-json" / "stderr").read_bytes()
    blobs = b"".join(line for line in text.splitlines(keepends=True) if b"Would delete blob" in line)
    understood = PrunerOutput("check").feed_block(Stream.STDERR, blobs)
    assert len(understood.blobs) == 16
    assert not understood.lines


def test_blocks_of_the_summarys_stream_are_no_candidates() -> None:
    output = PrunerOutput("check")
    output.feed_block(Stream.STDOUT, (blob_line() + "\n").encode())
    assert output.result(0).counted_blobs == 0
    output.feed_block(Stream.STDOUT, b"Would delete 5 blobs\nWould free up 5B of disk space")
    assert output.result(0).said == Summary(blobs=5, rounded_bytes=5)
