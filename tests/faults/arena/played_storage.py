"""The storage of a sandbox that is not there."""

from __future__ import annotations


class Storage:
    """Stands in for a sandbox's storage."""

    def __init__(self, *digests: str) -> None:
        self.digests = set(digests)

    def stored_digests(self) -> set[str]:
        return set(self.digests)
