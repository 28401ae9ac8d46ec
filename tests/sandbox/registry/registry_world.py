"""A registry's storage and the objects that go with it, and the stand-ins run on them as a pod runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.assembly.bootstrap import STAND_INS
from sandbox.base.paths import StateDirectory
from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.objects import TagItem, image_object, image_stream_object
from sandbox.registry.storage.images import Blob, Image, ImageBuilder, ManifestFormat
from sandbox.registry.storage.layout import StorageLayout
from tests.sandbox.registry.tiny_api import TinyApi

PROJECT_ROOT = Path(__file__).parents[3]
TRANSCRIPTS = PROJECT_ROOT / "tests" / "transcripts"
OLD = datetime.now(UTC) - timedelta(days=30)

_SCRIPT = """\
import sys
sys.path.insert(0, {root!r})
import os
from {module} import main
sys.exit(main(sys.argv[1:], os.environ))
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int
    stdout: str
    stderr: str


class RegistryWorld:
    """One registry below a folder.

    :param root: the state folder.
    :param api: holds the objects.
    """

    def __init__(self, root: Path, api: TinyApi, seed: str = "world") -> None:
        self.state = StateDirectory(root)
        self.api = api
        self.storage = StorageLayout(self.state.storage)
        self.builder = ImageBuilder(self.storage, seed)
        self._streams: dict[str, dict[str, list[TagItem]]] = {}
        root.mkdir(parents=True, exist_ok=True)
        api.write_kubeconfig(self.state.kubeconfig)

    def image(self, layers: int = 2, manifest_format: ManifestFormat = ManifestFormat.DOCKER) -> Image:
        """A new image in the storage, not linked and without objects."""
        return self.builder.image([self.builder.layer(1500) for _ in range(layers)], manifest_format)

    def multi_architecture_image(self) -> Image:
        """A new OCI index of two images."""
        children = [
            self.builder.image([self.builder.layer(900)], ManifestFormat.OCI, architecture)
            for architecture in ("amd64", "arm64")
        ]
        return self.builder.manifest_list(children, ManifestFormat.OCI)

    def push(
        self,
        repository: str,
        image: Image,
        tag: str | None = None,
        *,
        media_type: str | None = None,
        created: datetime = OLD,
    ) -> Image:
        """Link the image, make its Image objects, and the tag's newest revision of it."""
        self.builder.link(repository, image)
        for part in image.with_children():
            self.api.put(IMAGES, image_object(part, repository, created, media_type=media_type))
        self.tag(repository, tag, image.manifest.digest, created=created)
        return image

    def tag(self, repository: str, tag: str | None, digest: str, *, created: datetime = OLD) -> None:
        """Make the digest the newest revision of the tag; without a tag only make the image stream."""
        tags = self._streams.setdefault(repository, {})
        if tag is not None:
            tags.setdefault(tag, []).insert(0, TagItem(digest, repository, created))
        namespace, _, name = repository.partition("/")
        self.api.put(IMAGE_STREAMS, image_stream_object(namespace, name, tags, OLD))

    def orphans(self, count: int, size: int = 1500) -> list[Blob]:
        """So many blobs that nothing names."""
        return [self.builder.layer(size) for _ in range(count)]

    def digests(self) -> set[str]:
        """Of all blobs in the storage."""
        return {digest for digest, _ in self.storage.blobs()}

    def run(self, *argv: str, stand_in: str = "dockerregistry", **environ: str) -> Ended:
        """Run a stand-in to its end."""
        process = self.start(*argv, stand_in=stand_in, **environ)
        stdout, stderr = process.communicate(timeout=60)
        return Ended(process.returncode, stdout, stderr)

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a registry pod's processes."""
        return {
            "REGISTRY_STORAGE": "filesystem",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(self.state.storage),
            "KUBECONFIG": str(self.state.kubeconfig),
            "SANDBOX_STATE": str(self.state.root),
            "HOSTNAME": "image-registry-0",
            **more,
        }

    def start(self, *argv: str, stand_in: str = "dockerregistry", **environ: str) -> subprocess.Popen[str]:
        """Start a stand-in with the environment of a registry pod."""
        script = self.state.executables / stand_in
        script.parent.mkdir(exist_ok=True)
        script.write_text(_SCRIPT.format(root=str(PROJECT_ROOT), module=STAND_INS[stand_in]))
        return subprocess.Popen(
            [sys.executable, "-I", str(script), *argv],
            env=self.environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True)
class Transcript:
    """What the real ``dockerregistry`` did."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    ended: Ended

    @classmethod
    def read(cls, name: str) -> Transcript:
        folder = TRANSCRIPTS / name
        before, separator, command = (folder / "command").read_text().partition(" -- ")
        assignments = before.split() if separator else []
        words = (command if separator else before).split()
        ended = Ended(
            int((folder / "exit_code").read_text()),
            (folder / "stdout").read_text(),
            (folder / "stderr").read_text(),
        )
        return cls(tuple(words[1:]), dict(word.split("=", 1) for word in assignments), ended)


_SHAPES = (
    (re.compile(r"sha256(:|/[0-9a-f]{2}/|/)[0-9a-f]{64}"), r"sha256\1<digest>"),
    (re.compile(r"sha256/[0-9a-f]{2}/<digest>"), "sha256/<prefix>/<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "<nanoseconds>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<seconds>"),
    (re.compile(r'trace\.duration="?[\d.]+(?:µs|ms)"?'), "trace.duration=<duration>"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(free up|Freed up) [\d.]+[KMG]?i?B"), r"\1 <size>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<address>"),
)


def shape(text: str) -> list[str]:
    """The lines without what differs from run to run: times, digests, sizes, identifiers, ports."""
    return list(_shaped(text.splitlines()))


def _shaped(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        shaped = line
        for pattern, replacement in _SHAPES:
            shaped = pattern.sub(replacement, shaped)
        yield shaped
