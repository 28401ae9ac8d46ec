"""Lists of candidates: what is read is what was written, or an error that names the list."""

from __future__ import annotations

import gzip
import hashlib
import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.lists import candidate_list
from include.registry_prune.lists.candidate_list import (
    DamagedListError,
    ListWriter,
    Seal,
    packed_digests,
    subjects,
    whole_lines,
)
from include.registry_prune.pruner.dockerregistry import LineKind

HEAD = {"run": "registry_prune/manual", "cluster": "https://cluster.test:6443"}


def digit_digests(count: int, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(start, start + count)]


def written(digests: list[bytes], others: list[tuple[LineKind, str]] = []) -> tuple[bytes, Seal]:  # noqa: B006
    file = BytesIO()
    with ListWriter(file, HEAD) as writer:
        writer.add_blobs(digests)
        for kind, subject in others:
            writer.add(kind, subject)
    return file.getvalue(), writer.seal


def read(data: bytes, seal: Seal) -> list[bytes]:
    return list(whole_lines(BytesIO(data), seal, "s3://bucket/list"))


def test_a_list_is_text_that_any_gzip_reads_and_its_seal_says_what_is_in_it() -> None:
    link = "shop/app@sha256:" + "ab" * 32
    data, seal = written([b"ab" * 32], [(LineKind.MANIFEST_LINK, link), (LineKind.REPOSITORY, "shop/gone")])
    head, *lines = gzip.decompress(data).decode().splitlines()
    assert json.loads(head) == {"version": 1, **HEAD}
    assert lines == [f"blob sha256:{'ab' * 32}", f"manifest link {link}", "repository shop/gone"]
    assert seal.counts == {"blob": 1, "manifest link": 1, "repository": 1}
    assert (seal.size_bytes, seal.sha256, seal.head) == (len(data), hashlib.sha256(data).hexdigest(), HEAD)
    assert Seal.from_json(json.loads(seal.model_dump_json())) == seal


SUBJECTS = st.text(st.characters(exclude_characters="\n"), max_size=30)


@given(digests=st.integers(0, 50), links=st.lists(SUBJECTS, max_size=5))
def test_what_was_written_is_read(digests: int, links: list[str]) -> None:
    data, seal = written(digit_digests(digests), [(LineKind.MANIFEST_LINK, link) for link in links])
    assert b"".join(packed_digests(read(data, seal))).hex().encode() == b"".join(digit_digests(digests))
    assert list(subjects(read(data, seal), LineKind.MANIFEST_LINK)) == links


def test_many_blocks_are_read_as_they_were_written() -> None:
    digests = digit_digests(40_000)
    file = BytesIO()
    with ListWriter(file, HEAD) as writer:
        for start in range(0, len(digests), 170):
            writer.add_blobs(digests[start : start + 170])
    assert len(file.getvalue()) > 4 * candidate_list._READ_BYTES
    blocks = read(file.getvalue(), writer.seal)
    assert b"".join(packed_digests(blocks)).hex().encode() == b"".join(digests)
    parts = [b"".join(packed_digests(blocks, digits)) for digits in ("01234", "56789a", "bcdef")]
    assert sum(map(len, parts)) == 32 * len(digests)
    assert all(each.hex()[0] in "01234" for each in [parts[0][place : place + 32] for place in range(0, 3200, 32)])


def test_a_subject_that_is_no_unicode_does_not_end_a_dry_run() -> None:
    data, seal = written([], [(LineKind.REPOSITORY, "shop/\ud800")])
    assert list(subjects(read(data, seal), LineKind.REPOSITORY)) == ["shop/?"]


def damaged(data: bytes, seal: Seal) -> list[tuple[str, bytes, Seal]]:
    longer, _ = written(digit_digests(301))
    return [
        ("empty", b"", seal),
        ("cut", data[:-1], seal),
        ("cut in the middle", data[: len(data) // 2], seal),
        ("one bit", data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:], seal),
        ("more behind it", data + b"x", seal),
        ("twice", data + data, seal),
        ("another list", longer, seal),
        ("the seal of another", data, seal.model_copy(update={"sha256": "0" * 64})),
        ("no gzip", b"blob sha256:" + b"a" * 64, seal),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_damaged_list_is_an_error_that_names_it_and_never_a_shorter_list(case: int) -> None:
    """Guards the check of size and digest."""
    what, data, seal = damaged(*written(digit_digests(300)))[case]
    with pytest.raises(DamagedListError, match="s3://bucket/list is damaged"):
        read(data, seal)
    assert what


def test_a_storage_that_is_full_is_an_error() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    def write_much() -> None:
        with ListWriter(Full(), HEAD) as writer:
            while True:
                writer.add_blobs(digit_digests(1_000))

    with pytest.raises(OSError, match="No space left"):
        write_much()
    with pytest.raises(OSError, match="No space left"), ListWriter(Full(), HEAD):
        pass


def test_the_error_inside_is_the_one_that_is_seen() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="the connection was lost"), ListWriter(Full(), HEAD):
        raise ValueError("the connection was lost")
