"""The frames of an exec: however they are cut, the lines and the end of the command are the same."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.cluster.exec_channels import MAXIMUM_LINE_BYTES, Channels, ExecEnd, Stream

STDOUT, STDERR, ERROR, RESIZE, CLOSE = b"\x01", b"\x02", b"\x03", b"\x04", b"\xff"


def run(*frames: bytes, how: str = "the connection was lost") -> tuple[list[tuple[Stream, str]], ExecEnd]:
    """What comes out of these frames."""
    lines: list[tuple[Stream, str]] = []
    channels = Channels(lambda stream, line: lines.append((stream, line)))
    for frame in frames:
        channels.feed(frame)
    return lines, channels.end(how)


def stdout(*frames: bytes) -> list[str]:
    lines, _ = run(*(STDOUT + frame for frame in frames))
    return [line for _, line in lines]


@pytest.mark.parametrize(
    ("frames", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"on", b"e\nt", b"wo\n"], ["one", "two"]),
        ([b"one\n", b"no line end at the end"], ["one", "no line end at the end"]),
        ([b"one\r\ntwo\r\n"], ["one", "two"]),
        ([b"one\r", b"\ntwo\r\n"], ["one", "two"]),
        ([b"\n\n"], ["", ""]),
        (["é€😀".encode()[:3], "é€😀".encode()[3:6], "é€😀".encode()[6:] + b"\n"], ["é€😀"]),
        ([b"half a character \xe2\x82"], ["half a character �"]),
        ([b"\xff\xfe\x00\n"], ["��\x00"]),
        ([b"a\x0bb\x0cc\x85d\xe2\x80\xa8e\n"], ["a\x0bb\x0cc�d\u2028e"]),
    ],
)
def test_lines_of_frames(frames: list[bytes], lines: list[str]) -> None:
    assert stdout(*frames) == lines


def test_the_streams_are_kept_apart_and_empty_frames_mean_nothing() -> None:
    lines, _ = run(
        STDOUT, STDERR, ERROR, b"", STDOUT + b"Would del", STDERR + b"log ", STDOUT + b"ete\n", STDERR + b"line\n"
    )
    assert lines == [(Stream.STDOUT, "Would delete"), (Stream.STDERR, "log line")]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


output = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=40).map(str.encode),
    st.lists(st.sampled_from([b"one", b"\n", b"\r\n", b"\r", "é€😀".encode(), b"\xe2\x82", b""]), max_size=20).map(
        b"".join
    ),
)
places = st.lists(st.integers(0, 200), max_size=12)


@given(out=output, err=output, out_places=places, err_places=places, order=st.randoms())
def test_any_way_of_cutting_gives_the_same_lines(
    out: bytes, err: bytes, out_places: list[int], err_places: list[int], order: Any
) -> None:
    waiting = [[STDOUT + piece for piece in cut(out, out_places)], [STDERR + piece for piece in cut(err, err_places)]]
    frames = []
    while any(waiting):
        queue = order.choice([each for each in waiting if each])
        frames.append(queue.pop(0))
    lines, _ = run(*frames)
    for stream, data in ((Stream.STDOUT, out), (Stream.STDERR, err)):
        *whole, rest = data.decode(errors="replace").split("\n")
        expected = [line.removesuffix("\r") for line in whole] + ([rest.removesuffix("\r")] if rest else [])
        assert [line for each, line in lines if each is stream] == expected


@given(data=output)
def test_byte_by_byte_is_the_same_as_at_once(data: bytes) -> None:
    assert stdout(*(bytes([byte]) for byte in data)) == stdout(data)


@pytest.mark.parametrize("frame_bytes", [1_000, 32_768, 65_537])
def test_of_a_line_that_is_too_long_the_rest_is_left_out_and_it_stays_one_line(frame_bytes: int) -> None:
    """Guards the bound on memory; and the tail, which looks like a candidate, must not be taken for one."""
    tail = "y" * 500 + '{"go.version":"go1","level":"info","msg":"Would delete blob: sha256:%s","time":"2026"}' % (
        "a" * 64
    )
    data = b"before\n" + b"x" * (3 * MAXIMUM_LINE_BYTES) + tail.encode() + b"\nnext\n"
    before, long, after = stdout(*(data[start : start + frame_bytes] for start in range(0, len(data), frame_bytes)))
    assert (before, after) == ("before", "next")
    assert long == "x" * MAXIMUM_LINE_BYTES + " [...]"


@pytest.mark.parametrize("line_bytes", [MAXIMUM_LINE_BYTES - 1, MAXIMUM_LINE_BYTES])
@pytest.mark.parametrize("line_end", [b"\n", b""])
def test_a_line_of_a_mebibyte_is_whole(line_bytes: int, line_end: bytes) -> None:
    data = b"x" * line_bytes + line_end
    assert stdout(*(data[start : start + 32_768] for start in range(0, len(data), 32_768))) == ["x" * line_bytes]


def test_a_long_line_in_tiny_frames_takes_no_quadratic_time() -> None:
    data = b"x" * (MAXIMUM_LINE_BYTES // 4)
    assert stdout(*(bytes([byte]) for byte in data)) == [data.decode()]


@given(out=output, err=output, out_places=places, err_places=places)
def test_blocks_end_where_lines_do_and_lose_nothing(
    out: bytes, err: bytes, out_places: list[int], err_places: list[int]
) -> None:
    blocks: list[tuple[Stream, bytes]] = []
    channels = Channels(on_block=lambda stream, block: blocks.append((stream, block)))
    for head, data, places_ in ((STDOUT, out, out_places), (STDERR, err, err_places)):
        for piece in cut(data, places_):
            channels.feed(head + piece)
    channels.end("closed")
    for stream, data in ((Stream.STDOUT, out), (Stream.STDERR, err)):
        found = [block for each, block in blocks if each is stream]
        assert b"".join(found) == data
        assert all(block.endswith(b"\n") for block in found[:-1])
        assert all(found)


SUCCESS = {"metadata": {}, "status": "Success"}


def failure(exit_code: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": exit_code}]},
    }


INTERNAL = {
    "metadata": {},
    "status": "Failure",
    "message": 'Internal error occurred: container not found ("registry") 😀',
    "reason": "InternalError",
    "code": 500,
}
ENDS = [
    (SUCCESS, ExecEnd(0, "exit status 0")),
    (failure("1"), ExecEnd(1, "exit status 1")),
    (failure("137"), ExecEnd(137, "exit status 137")),
    (INTERNAL, ExecEnd(None, str(INTERNAL["message"]))),
    ({"status": "Failure"}, ExecEnd(None, "{'status': 'Failure'}")),
]


@pytest.mark.parametrize(("status", "end"), ENDS)
@pytest.mark.parametrize("after", [[], [CLOSE + b"\x01", CLOSE + b"\x02", CLOSE + b"\x03"]], ids=["v4", "v5"])
@pytest.mark.parametrize("ensure_ascii", [True, False], ids=["escaped", "UTF-8"])
def test_the_status_tells_how_the_command_ended(
    status: dict[str, Any], end: ExecEnd, after: list[bytes], ensure_ascii: bool
) -> None:
    document = json.dumps(status, ensure_ascii=ensure_ascii).encode()
    lines, found = run(STDOUT + b"out\n", ERROR + document, *after)
    assert lines == [(Stream.STDOUT, "out")]
    assert found == end


@given(places=places)
def test_a_status_in_several_frames(places: list[int]) -> None:
    document = json.dumps(failure("3")).encode()
    assert run(*(ERROR + piece for piece in cut(document, places)))[1] == ExecEnd(3, "exit status 3")


def test_output_that_comes_behind_the_status_is_not_lost() -> None:
    lines, end = run(ERROR + json.dumps(SUCCESS).encode(), STDOUT + b"Deleted 5 blobs\nFreed up 5B of disk space")
    assert [line for _, line in lines] == ["Deleted 5 blobs", "Freed up 5B of disk space"]
    assert end.exit_status == 0


def test_without_a_status_the_end_is_unknown() -> None:
    lines, end = run(STDOUT + b"Would delete 5 blobs\nWould free up", how="the connection was lost: reset")
    assert [line for _, line in lines] == ["Would delete 5 blobs", "Would free up"]
    assert end == ExecEnd(None, "the connection was lost: reset")


def test_there_is_a_status_from_its_first_byte_on() -> None:
    channels = Channels(lambda stream, line: None)
    for frame in (STDOUT + b"out", STDERR, ERROR, RESIZE + b"{}", CLOSE + b"\x03"):
        channels.feed(frame)
        assert not channels.has_status
    channels.feed(ERROR + b"{")
    assert channels.has_status


GARBAGE = [
    b"garbage",
    b"{",
    b"null",
    b"[]",
    b"3",
    b'"Success"',
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b"2001-13-01",
    json.dumps(SUCCESS).encode()[:-1],
    json.dumps({"status": "Unheard of"}).encode(),
    json.dumps({"status": None}).encode(),
    json.dumps(failure("many")).encode(),
    json.dumps(failure("")).encode(),
    json.dumps({**failure("1"), "details": None}).encode(),
    json.dumps({**failure("1"), "details": {"causes": []}}).encode(),
    json.dumps({**failure("1"), "details": {"causes": [None]}}).encode(),
    json.dumps({**failure("1"), "details": {"causes": [{"message": None}]}}).encode(),
]


@pytest.mark.parametrize("status", GARBAGE, ids=lambda status: repr(status[:30]))
def test_a_status_that_is_garbage_is_an_unknown_end(status: bytes) -> None:
    _, end = run(ERROR + status)
    assert end.exit_status is None
    assert end.how
    assert len(end.how) < 1000


@given(frames=st.lists(st.binary(max_size=60), max_size=12))
def test_no_frame_is_too_strange_and_none_of_them_is_a_success(frames: list[bytes]) -> None:
    _, end = run(*frames)
    assert end.exit_status is None
