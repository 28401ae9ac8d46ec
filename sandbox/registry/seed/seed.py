"""Fills the registry: images that the cluster needs, and orphaned blobs of every cause."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.base.errors import SandboxError
from sandbox.base.paths import StateDirectory
from sandbox.registry.api import ApiClient, ApiFailureError
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed_images import ImageSeeder
from sandbox.registry.seed.seed_orphans import Cause, OrphanSeeder
from sandbox.registry.seed.seed_sink import SeedSink
from sandbox.registry.storage.bucket import storage_of
from sandbox.registry.storage.images import ImageBuilder
from sandbox.registry.storage.sizes import bytes_size, parse_size

_TIMEOUT_SECONDS = 30.0
_LARGEST_BYTES, _BYTES_AN_ORPHAN = 64 * 1024**2, 22 * 1024
"""What is made where nobody says a size: writing it takes most of the time of a small seed."""


class SeedError(SandboxError):
    """The registry cannot be filled so."""


@dataclass(frozen=True)
class SeedPlan:
    """What to put into the registry.

    :param images: images that tags name. Multi-architecture ones have an Image for each architecture on top.
    :param orphans: orphaned blobs, spread evenly over the causes.
    :param size: bytes of the orphans in all, or a quantity such as ``64MiB``; configs and manifests have a
        size of their own, so a small one is exceeded. None: 64 MiB, but not more than 22 KiB for each orphan.
    :param seed: the same number makes the same content; each can be used once in a sandbox.
    :param causes: of the orphans.
    :param images_without_media_type: how many Images have an empty ``dockerImageManifestMediaType``: the real
        pruner takes their config blobs (transcripts 91 to 93), and so does the stand-in.
    :param multi_architecture: all images are lists of two architectures, not only some.
    """

    images: int = 300
    orphans: int = 3000
    size: int | str | None = None
    seed: int = 1
    causes: Sequence[Cause | str] = tuple(Cause)
    images_without_media_type: int = 0
    multi_architecture: bool = False

    def __post_init__(self) -> None:
        for name in ("images", "orphans", "images_without_media_type"):
            if getattr(self, name) < 0:
                raise SeedError(f"{name} is {getattr(self, name)}; it has to be 0 or more")
        unknown = [str(cause) for cause in self.causes if cause not in tuple(Cause)]
        if unknown or not self.causes:
            raise SeedError(f"causes is {', '.join(unknown) or 'empty'}; there are {', '.join(Cause)}")
        self.size_in_bytes()

    def size_in_bytes(self) -> int:
        """Bytes of the orphans.

        :raises SeedError: the size is no quantity.
        """
        if self.size is None:
            return min(_LARGEST_BYTES, self.orphans * _BYTES_AN_ORPHAN)
        if isinstance(self.size, int):
            return self.size
        try:
            return parse_size(self.size)
        except ValueError as error:
            raise SeedError(str(error)) from error


def seed(state: StateDirectory, plan: SeedPlan) -> SeedInventory:
    """Fill the registry of a sandbox that is up; can be done again with another ``plan.seed``.

    :returns: what the registry holds now, earlier runs included; kept in ``state.seed_inventory`` as well.
    :raises SeedError: this seed was used before.
    :raises ApiFailureError: the sandbox's API does not answer or refuses.
    """
    inventory = SeedInventory.read(state)
    if plan.seed in inventory.seeds:
        raise SeedError(f"seed {plan.seed} is in the storage already; choose another number with --seed")
    with closing(ApiClient.from_kubeconfig(state.kubeconfig, _TIMEOUT_SECONDS)) as api:
        sink, now = SeedSink(api, plan.seed), datetime.now(UTC)
        storage = storage_of(state)
        builder = ImageBuilder(storage, f"images of {plan.seed}")
        images = ImageSeeder(sink, builder, now, multi_architecture=plan.multi_architecture)
        orphans = OrphanSeeder(sink, ImageBuilder(storage, f"orphans of {plan.seed}"), images.base, now)
        images.seed(plan.images, plan.images_without_media_type)
        causes = list(dict.fromkeys(map(Cause, plan.causes)))
        orphans.seed(plan.orphans, plan.size_in_bytes(), causes)
    inventory.add(sink.inventory)
    inventory.write(state)
    return inventory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m sandbox seed``."""
    defaults = SeedPlan()
    parser.add_argument("--images", type=int, default=defaults.images, help="images that tags name (%(default)s)")
    parser.add_argument("--orphans", type=int, default=defaults.orphans, help="orphaned blobs (%(default)s)")
    parser.add_argument(
        "--size", default=defaults.size, help="of all orphans, e.g. 64MiB (default: that, or 22 KiB for each if less)"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the random content (%(default)s)")
    parser.add_argument(
        "--cause",
        action="append",
        choices=[cause.value for cause in Cause],
        help="of the orphans; repeatable, default: all five",
    )
    parser.add_argument(
        "--images-without-media-type",
        type=int,
        default=0,
        help="Images whose config the pruner takes although they need it (%(default)s)",
    )
    parser.add_argument(
        "--multi-architecture", action="store_true", help="all images are lists of two architectures, not only some"
    )


def run(arguments: argparse.Namespace, state: StateDirectory) -> int:
    """Run ``python -m sandbox seed``; returns the exit status."""
    if not state.kubeconfig.exists():
        print(f"no sandbox is up in {state.root}: start it with `python -m sandbox up`", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        plan = SeedPlan(
            images=arguments.images,
            orphans=arguments.orphans,
            size=arguments.size,
            seed=arguments.seed,
            causes=arguments.cause or tuple(Cause),
            images_without_media_type=arguments.images_without_media_type,
            multi_architecture=arguments.multi_architecture,
        )
        inventory = seed(state, plan)
    except (SeedError, ApiFailureError) as error:
        print(f"nothing more was seeded: {error}", file=sys.stderr)
        return 1
    print(
        f"Seeded in {time.monotonic() - started:.1f} s. The registry holds {inventory.images} images in "
        f"{inventory.image_streams} image streams ({len(inventory.needed)} blobs) and "
        f"{inventory.orphaned_blobs} orphaned blobs ({bytes_size(inventory.orphaned_bytes)}):"
    )
    for cause, count in inventory.orphans.items():
        print(f"  {cause}: {count.blobs} ({bytes_size(count.size)})")
    return 0
