"""A compact set of digests holds exactly what was put in."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.lists.digests import SHORT_BYTES, DigestIndex, DigestSet

# Few different bytes: full buckets, and digests that are found across the border of two others.
DIGESTS = st.lists(st.lists(st.sampled_from([0, 1]), min_size=32, max_size=32).map(bytes), max_size=40)


@given(digests=DIGESTS, others=DIGESTS)
def test_it_is_a_set(digests: list[bytes], others: list[bytes]) -> None:
    found = DigestSet(b"".join(digests))
    assert sorted(found) == sorted(digests)
    assert len(found) == len(digests)
    for each in digests + others:
        assert (each in found) is (each in set(digests))


@given(digests=DIGESTS, others=DIGESTS, kept=st.sampled_from([SHORT_BYTES, 32]))
def test_one_after_the_other_and_shortened_it_is_a_set_too(
    digests: list[bytes], others: list[bytes], kept: int
) -> None:
    found = DigestSet(kept_bytes=kept)
    for each in digests:
        found.add(each)
    assert sorted(found) == sorted(each[:kept] for each in digests)
    for each in digests + others:
        assert (each in found) is (each[:kept] in {digest[:kept] for digest in digests})


@given(st.lists(st.tuples(st.sampled_from([bytes([0, 1]) * 16, bytes(32), bytes([1]) * 32]), st.integers(0, 300))))
def test_an_index_gives_the_numbers_of_a_digest_and_no_other(pairs: list[tuple[bytes, int]]) -> None:
    index = DigestIndex()
    for digest, number in pairs:
        index.add(digest, number)
    for digest in {digest for digest, _ in pairs} | {bytes([2]) * 32}:
        assert sorted(index.numbers(digest)) == sorted(number for each, number in pairs if each == digest)


def test_what_lies_across_the_border_of_two_digests_is_not_in_it() -> None:
    """Guards the look at the place where it is found."""
    prefix, half = b"\0\0", b"\1" * 15
    digests = DigestSet(prefix + b"\2" * 15 + half + prefix + half + b"\3" * 15)
    assert prefix + half + half not in digests
    assert prefix + half + b"\3" * 15 in digests


@pytest.mark.parametrize("other", [b"", b"\0" * 31, b"\0" * 33, "a" * 32, None, 5])
def test_what_is_no_digest_is_not_in_it(other: object) -> None:
    assert other not in DigestSet(b"\0" * 32)


def test_half_a_digest_is_an_error() -> None:
    with pytest.raises(ValueError, match="33 bytes are no sha256 digests"):
        DigestSet(b"\0" * 33)


def test_a_million_digests_take_less_than_64_mebibytes() -> None:
    program = (
        "import os\n"
        "from include.registry_prune.lists.digests import DigestSet\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: int(status().partition('VmHWM:')[2].split()[0]) / 1024\n"
        "before, digests = peak(), DigestSet()\n"
        "for _ in range(1000): digests.add_packed(os.urandom(32_000))\n"
        "print(len(digests), peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    count, mebibytes = done.stdout.split()
    assert count == "1000000"
    assert float(mebibytes) < 64
