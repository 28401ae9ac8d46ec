"""What a delete did, held against what its dry run had listed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.lists.reconciliation import KEPT_NAMES, Basis, DigestReader, Reconciliation, compare

PROJECT = Path(__file__).parents[3]
DIGESTS = st.lists(st.integers(0, 255).map(lambda number: bytes([number]) * 32), max_size=60)


def reader(digests: list[bytes], *, block: int = 3) -> DigestReader:
    def read(first_digits: str) -> Iterator[bytes]:
        chosen = [digest for digest in digests if digest.hex()[0] in first_digits]
        for place in range(0, len(chosen), block):
            yield b"".join(chosen[place : place + block])

    return read


def names(digests: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(f"sha256:{digest.hex()}" for digest in sorted(digests)[:KEPT_NAMES])


@given(first=DIGESTS, second=DIGESTS, at_once=st.integers(1, 100))
def test_the_comparison_is_that_of_two_sets_however_many_passes_it_takes(
    first: list[bytes], second: list[bytes], at_once: int
) -> None:
    compared = compare(reader(first), reader(second), size=max(len(first), len(second)), at_once=at_once)
    for share, expected in zip(
        (compared.both, compared.first_only, compared.second_only),
        (set(first) & set(second), set(first) - set(second), set(second) - set(first)),
        strict=True,
    ):
        assert (share.count, share.names) == (len(expected), names(expected))


def test_memory_is_bounded_by_what_is_held_at_once() -> None:
    """Guards the passes: in one pass these lists take more than 100 MiB."""
    program = """
import os
from include.registry_prune.lists.reconciliation import compare
lists = [{digit: os.urandom(25_000 * 32) for digit in "0123456789abcdef"} for _ in range(2)]
readers = [lambda digits, each=each: (each[digit] for digit in digits) for each in lists]
# Not ru_maxrss: it begins with that of whoever started the process.
status = lambda: open("/proc/self/status").read()
peak = lambda: int(status().partition("VmHWM:")[2].split()[0]) / 1024
before = peak()
compared = compare(*readers, size=400_000, at_once=25_000)
print(compared.both.count, compared.first_only.count, compared.second_only.count, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=600
    )
    both, first_only, second_only, mebibytes = done.stdout.split()
    assert (both, first_only, second_only) == ("0", "400000", "400000")
    assert float(mebibytes) < 30


WHOLE = Reconciliation(basis=Basis.LIST, candidates=3, deleted=3, deleted_artifact="/d-*")


@pytest.mark.parametrize(
    ("found", "parts"),
    [
        (WHOLE, ("3 of 3 candidates deleted, 0 not (by the delete's own list)",)),
        (
            WHOLE.model_copy(update={"deleted": 1, "not_deleted": 2, "not_deleted_names": ("sha256:a", "sha256:b")}),
            ("1 of 3 candidates deleted, 2 not (sha256:a, sha256:b)",),
        ),
        (WHOLE.model_copy(update={"not_deleted": 2, "not_deleted_names": ("sha256:a",)}), ("2 not (sha256:a …)",)),
        (WHOLE.model_copy(update={"stopped": True}), ("the last one that it named may still be there",)),
        (
            Reconciliation(basis=Basis.NOTHING, why_unknown="no pod is ready"),
            ("not known which candidates were deleted: no pod is ready",),
        ),
    ],
)
def test_it_is_said_in_words(found: Reconciliation, parts: tuple[str, ...]) -> None:
    for part in parts:
        assert part in found.text()
    assert found.text() in found.lines()[0][1]


def test_what_was_deleted_unlisted_is_something_to_look_into() -> None:
    assert WHOLE.alarm() is None
    alarm = WHOLE.model_copy(update={"unlisted": 12, "unlisted_names": ("sha256:a",)}).alarm()
    assert alarm is not None
    assert "12 blobs deleted that the dry run had not listed: sha256:a …" in alarm


def test_the_lines_of_the_report_name_the_lists() -> None:
    found = WHOLE.model_copy(update={"unlisted": 1, "unlisted_names": ("sha256:a",), "left_artifact": "/left"})
    first, alarm, *lists = found.lines()
    assert (first[0], first[1].partition(" candidates")[0]) == ("reconciled", "3 of 3")
    assert (alarm[0], alarm[1].partition(" deleted")[0]) == ("LOOK INTO THIS", "1 blob")
    assert lists == [("list of what was deleted", "/d-*"), ("list of what is left", "/left")]


def test_it_travels_as_json() -> None:
    assert Reconciliation.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE
