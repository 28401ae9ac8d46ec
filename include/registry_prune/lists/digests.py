"""Blob digests, compactly: millions of them must fit into a worker beside everything else (pure)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

DIGEST_BYTES = 32
HEXADECIMAL = "0123456789abcdef"
SHORT_BYTES = 8
"""Enough to tell digests apart: ten million blobs and a million other digests meet by accident once in two million
times."""
_PREFIX_BYTES, _NUMBER_BYTES = 2, 4


class DigestSet(Collection[bytes]):
    """Digests of 32 bytes; each takes about 45 bytes of memory where in a :class:`set` it takes 150.

    The first two bytes of a digest choose one of 65,536 buckets, which holds the other thirty bytes of each, one
    behind the other; of a million digests 15 are in a bucket. To look one up takes a microsecond.

    :param packed: digests, one behind the other.
    :param kept_bytes: so much of each digest is kept: with ``SHORT_BYTES`` each takes about 20 bytes of memory. What
        comes out of an iteration is as short.
    :raises ValueError: if ``packed`` is no multiple of 32 bytes.
    """

    def __init__(self, packed: bytes = b"", *, kept_bytes: int = DIGEST_BYTES) -> None:
        self._buckets = [b""] * (1 << 8 * _PREFIX_BYTES)
        self._suffix_bytes = kept_bytes - _PREFIX_BYTES
        self._parts = struct.Struct(f">H{self._suffix_bytes}s{DIGEST_BYTES - kept_bytes}x")
        self._count = 0
        self.add_packed(packed)

    def add_packed(self, packed: bytes) -> None:
        """Add digests, one behind the other. One that is there already is kept, and counted, twice.

        :raises ValueError: if they are no multiple of 32 bytes.
        """
        if len(packed) % DIGEST_BYTES:
            raise ValueError(f"{len(packed)} bytes are no sha256 digests: each has {DIGEST_BYTES} bytes")
        buckets = self._buckets
        for prefix, suffix in self._parts.iter_unpack(packed):
            buckets[prefix] += suffix
        self._count += len(packed) // DIGEST_BYTES

    def add(self, digest: bytes) -> None:
        """Add one digest of 32 bytes; see :meth:`add_packed`."""
        self._buckets[digest[0] << 8 | digest[1]] += digest[_PREFIX_BYTES : self._suffix_bytes + _PREFIX_BYTES]
        self._count += 1

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, bytes) or len(digest) != DIGEST_BYTES:
            return False
        prefix, suffix = self._parts.unpack(digest)
        return bool(_places(self._buckets[prefix], suffix, self._suffix_bytes))

    def __iter__(self) -> Iterator[bytes]:
        for prefix, bucket in enumerate(self._buckets):
            for place in range(0, len(bucket), self._suffix_bytes):
                yield prefix.to_bytes(_PREFIX_BYTES) + bucket[place : place + self._suffix_bytes]

    def __len__(self) -> int:
        return self._count


class DigestIndex:
    """Which numbers belong to a digest, such as those of the Images that name it; each pair takes about 15 bytes.

    As :class:`DigestSet`, with a number behind each digest, of which ``SHORT_BYTES`` are kept.
    """

    def __init__(self) -> None:
        self._buckets = [b""] * (1 << 8 * _PREFIX_BYTES)

    def add(self, digest: bytes, number: int) -> None:
        """Add a pair; the number is below 2³²."""
        self._buckets[digest[0] << 8 | digest[1]] += digest[_PREFIX_BYTES:SHORT_BYTES] + number.to_bytes(_NUMBER_BYTES)

    def numbers(self, digest: bytes) -> list[int]:
        """The numbers of a digest."""
        bucket, suffix = self._buckets[digest[0] << 8 | digest[1]], digest[_PREFIX_BYTES:SHORT_BYTES]
        if suffix not in bucket:
            # As nearly always: a delete asks for millions of digests that nobody names.
            return []
        entry_bytes = SHORT_BYTES - _PREFIX_BYTES + _NUMBER_BYTES
        ends = [place + entry_bytes for place in _places(bucket, suffix, entry_bytes)]
        return [int.from_bytes(bucket[end - _NUMBER_BYTES : end]) for end in ends]


def _places(bucket: bytes, suffix: bytes, entry_bytes: int) -> list[int]:
    """Where an entry of the bucket begins with the suffix."""
    places, place = [], bucket.find(suffix)
    while place >= 0:
        # At a multiple of its length: not the end of one and the beginning of the next.
        if not place % entry_bytes:
            places.append(place)
        place = bucket.find(suffix, place + 1)
    return places
