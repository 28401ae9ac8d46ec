"""The tripwire: what it takes to hold every blob that is deleted against every Image."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.benchmark import Benchmark, Row, numbers
from benchmarks.stream.watched_delete import IMAGE_BYTES, LAYERS

PROJECT = Path(__file__).resolve().parents[2]
_MIB = 1 << 20


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    for images in options.images:
        for tripwire in ("without", "with"):
            words = ["--images", images, "--blobs-per-second", options.blobs_per_second, "--seconds", options.seconds]
            command = [sys.executable, "-m", "benchmarks.stream.watched_delete", *map(str, words)]
            command += ["--without"] if tripwire == "without" else []
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
            taken = json.loads(done.stdout.splitlines()[-1])
            yield {
                "Images": images,
                "tripwire": tripwire,
                "blobs/s": options.blobs_per_second,
                "list of Images, CPU s": taken["listing CPU seconds"],
                "loop held up meanwhile, longest ms": 1000 * taken["longest block seconds"],
                "following, % of a core": 100 * taken["CPU share"],
                "peak MiB": taken["peak bytes"] / _MIB,
            }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tripwire")
    group.add_argument("--images", type=numbers, default=(1_000, 50_000), help="sizes of clusters (1000,50000)")
    group.add_argument("--blobs-per-second", type=int, default=5_000, help="that the pruner names (%(default)s)")
    group.add_argument("--seconds", type=float, default=60, help="for which the delete is followed (%(default)s)")


BENCHMARK = Benchmark(
    name="tripwire",
    title="The tripwire",
    about=f"""
A process of its own follows a delete that names so many blobs a second: with the tripwire, and with that alone left
out. Each Image is {IMAGE_BYTES:,} bytes of JSON with {LAYERS} layers of its own. What the API server and the pod send
is played in the same process and taken off; there is no network, and no list is written. The difference of two rows is
what the tripwire takes: the list of Images once at the beginning, then a look-up for each blob. The loop is held up for
as long as a page of Images takes, in CPU time.
""",
    columns=(
        "Images",
        "tripwire",
        "blobs/s",
        "list of Images, CPU s",
        "loop held up meanwhile, longest ms",
        "following, % of a core",
        "peak MiB",
    ),
    keys=("Images", "tripwire", "blobs/s"),
    measure=_measure,
    add_arguments=_add_arguments,
)
