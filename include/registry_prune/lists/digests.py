"""Blob digests, compactly: millions of them must fit into a worker beside everything else (pure)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

DIGEST_BYTES = 32
HEXADECIMAL = "0123456789abcdef"
_PREFIX_AND_SUFFIX = struct.Struct(">H30s")
_SUFFIX_BYTES = 30


class DigestSet(Collection[bytes]):
    """Digests of 32 bytes; each takes about 45 bytes of memory where in a :class:`set` it takes 150.

    The first two bytes of a digest choose one of 65,536 buckets, which holds the other thirty bytes of each, one
    behind the other; of a million digests 15 are in a bucket. To look one up takes a microsecond.

    :param packed: digests, one behind the other.
    :raises ValueError: if ``packed`` is no multiple of 32 bytes.
    """

    def __init__(self, packed: bytes = b"") -> None:
        self._buckets = [b""] * (1 << 16)
        self._count = 0
        self.add_packed(packed)

    def add_packed(self, packed: bytes) -> None:
        """Add digests, one behind the other. One that is there already is kept, and counted, twice.

        :raises ValueError: if they are no multiple of 32 bytes.
        """
        if len(packed) % DIGEST_BYTES:
            raise ValueError(f"{len(packed)} bytes are no sha256 digests: each has {DIGEST_BYTES} bytes")
        buckets = self._buckets
        for prefix, suffix in _PREFIX_AND_SUFFIX.iter_unpack(packed):
            buckets[prefix] += suffix
        self._count += len(packed) // DIGEST_BYTES

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, bytes) or len(digest) != DIGEST_BYTES:
            return False
        prefix, suffix = _PREFIX_AND_SUFFIX.unpack(digest)
        bucket: bytes = self._buckets[prefix]
        place = bucket.find(suffix)
        # Not at a multiple of its length: the end of one and the beginning of the next.
        while place > 0 and place % _SUFFIX_BYTES:
            place = bucket.find(suffix, place + 1)
        return place >= 0

    def __iter__(self) -> Iterator[bytes]:
        for prefix, bucket in enumerate(self._buckets):
            for place in range(0, len(bucket), _SUFFIX_BYTES):
                yield _PREFIX_AND_SUFFIX.pack(prefix, bucket[place : place + _SUFFIX_BYTES])

    def __len__(self) -> int:
        return self._count
