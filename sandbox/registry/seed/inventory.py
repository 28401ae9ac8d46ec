"""What ``seed`` put into the storage, kept in the state folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from sandbox.base.paths import StateDirectory


@dataclass
class OrphanCount:
    """Orphaned blobs of one cause.

    :param size: bytes.
    """

    blobs: int = 0
    size: int = 0

    def add(self, size: int, blobs: int = 1) -> None:
        """Count some more."""
        self.blobs += blobs
        self.size += size


@dataclass
class SeedInventory:
    """The content of a seeded storage.

    :param seeds: the seeds that were used.
    :param images: Image objects that were made, those of single architectures included.
    :param image_streams: ImageStreams that were made.
    :param needed: digests that those images need, the base prune's victims included.
    :param orphans: what no Image needs, by cause.
    """

    seeds: list[int] = field(default_factory=list)
    images: int = 0
    image_streams: int = 0
    needed: set[str] = field(default_factory=set)
    orphans: dict[str, OrphanCount] = field(default_factory=dict)

    @property
    def orphaned_blobs(self) -> int:
        """Orphaned blobs of all causes."""
        return sum(count.blobs for count in self.orphans.values())

    @property
    def orphaned_bytes(self) -> int:
        """Their bytes."""
        return sum(count.size for count in self.orphans.values())

    def add(self, other: SeedInventory) -> None:
        """Take in what another run of ``seed`` made."""
        self.seeds += other.seeds
        self.images += other.images
        self.image_streams += other.image_streams
        self.needed |= other.needed
        for cause, count in other.orphans.items():
            self.orphans.setdefault(cause, OrphanCount()).add(count.size, count.blobs)

    def write(self, state: StateDirectory) -> None:
        """Keep it in the state folder."""
        values = asdict(self) | {"needed": sorted(self.needed)}
        state.seed_inventory.write_text(json.dumps(values, indent=1) + "\n")

    @classmethod
    def read(cls, state: StateDirectory) -> Self:
        """The one in the state folder; an empty one if nothing was seeded yet."""
        if not state.seed_inventory.exists():
            return cls()
        values = json.loads(state.seed_inventory.read_text())
        orphans = {cause: OrphanCount(**count) for cause, count in values.pop("orphans").items()}
        return cls(**(values | {"needed": set(values["needed"]), "orphans": orphans}))
