"""The integrity check: what is broken now and was whole before."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import KEPT_BROKEN
from include.registry_prune.pruner.integrity import IntegrityCheck, IntegrityOutput
from include.registry_prune.pruner.output import KEPT_LINES

ONE, OTHER = "sha256:" + "1a" * 32, "sha256:" + "2b" * 32


def tag(digest: str, *, name: str = "ns/app:latest", position: int = 0) -> str:
    return f'Broken imagestream tag "{name}" in position {position}: image blob "{digest}": unknown blob'


def check(*lines: str) -> IntegrityCheck:
    output = IntegrityOutput()
    for line in lines:
        output.feed(Stream.STDOUT, line)
    return output.result(0)


@pytest.mark.parametrize(
    ("before", "after", "newly"),
    [
        (check(), check(), ()),
        (check(), check(tag(ONE)), (tag(ONE),)),
        (check(tag(ONE)), check(tag(ONE)), ()),
        (check(tag(ONE)), check(), ()),
        (check(tag(ONE)), check(tag(OTHER)), (tag(OTHER),)),
        (check(tag(ONE)), check(tag(ONE), tag(OTHER)), (tag(OTHER),)),
        # A push between the two checks moves the older images of a tag on by one position.
        (check(tag(ONE)), check(tag(ONE, position=1)), ()),
        # The same broken image under one more tag is not broken anew.
        (check(tag(ONE)), check(tag(ONE), tag(ONE, name="ns/app:copy")), ()),
        (check(f'Broken image "{ONE}": unknown blob'), check(f'Broken image "{ONE}": unknown blob'), ()),
        (check("Broken image of an unknown kind"), check("Broken image of an unknown kind"), ()),
        (check(), check("Broken image of an unknown kind"), ("Broken image of an unknown kind",)),
    ],
)
def test_what_is_newly_broken(before: IntegrityCheck, after: IntegrityCheck, newly: tuple[str, ...]) -> None:
    assert after.newly_broken(before) == newly


def test_all_broken_images_are_counted_but_only_some_are_kept() -> None:
    result = check(*(tag(ONE, position=number) for number in range(KEPT_BROKEN + 3)))
    assert result.broken_count == KEPT_BROKEN + 3
    assert len(result.broken) == KEPT_BROKEN


def test_only_lines_about_broken_images_on_stdout_count() -> None:
    output = IntegrityOutput()
    output.feed(Stream.STDERR, tag(ONE))
    output.feed(Stream.STDOUT, "Would delete 3 blobs")
    output.feed(Stream.STDERR, 'time="2026" level=info msg="something else"')
    assert output.result(0) == IntegrityCheck(exit_status=0)


def test_an_end_that_is_unknown_is_a_problem() -> None:
    problem = IntegrityOutput().result(None, ended_how="the connection was lost").problem()
    assert problem == ("The integrity check did not come to its end (the connection was lost): no error was logged")


def test_errors_are_kept_within_bounds() -> None:
    output = IntegrityOutput()
    for number in range(KEPT_LINES + 5):
        output.feed(Stream.STDERR, f'time="2026" level=error msg="error {number}"')
    result = output.result(1)
    assert len(result.errors) == KEPT_LINES
    assert "exit status 1" in (result.problem() or "")


@given(lines=st.lists(st.tuples(st.sampled_from(Stream), st.text()), max_size=10))
def test_no_output_is_too_strange_and_the_result_travels_as_json(lines: list[tuple[Stream, str]]) -> None:
    output = IntegrityOutput()
    for stream, line in lines:
        output.feed(stream, line)
    result = output.result(0)
    assert IntegrityCheck.from_json(json.loads(json.dumps(result.to_json()))) == result
