"""Parsing alone: how many lines a second one core understands."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.benchmark import Benchmark, Row
from include.registry_prune.cluster.exec_channels import Channels
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.output import PrunerOutput

_STDERR = b"\x02"
_FRAME_BYTES = 32 * 1024
_DISTINCT_LINES = 20_000


def _messages(kind: LineKind) -> Iterator[str]:
    for number in range(_DISTINCT_LINES):
        digest = f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"
        yield (
            f"Would delete blob: {digest}" if kind is LineKind.BLOB else f"Would delete manifest link: shop/a@{digest}"
        )


def _stream(kind: LineKind, form: str) -> bytes:
    """Lines as the real pruner prints them (transcripts 02 and 06)."""
    time_ = "2026-11-23T17:42:12.824173696Z"
    if form == "JSON":
        fields = {"go.version": "go1.26.6", "level": "info", "msg": "", "time": time_}
        lines = (json.dumps(fields | {"msg": message}, separators=(",", ":")) for message in _messages(kind))
    else:
        lines = (
            f"time={json.dumps(time_)} level=info msg={json.dumps(message)} go.version=go1.26.6"
            for message in _messages(kind)
        )
    return "".join(f"{line}\n" for line in lines).encode()


def _seconds(stream: bytes, repeats: int, kind: LineKind) -> float:
    frames = [_STDERR + stream[place : place + _FRAME_BYTES] for place in range(0, len(stream), _FRAME_BYTES)]
    output = PrunerOutput("check")
    channels = Channels(on_block=output.feed_block)
    started = time.process_time()
    for _ in range(repeats):
        for frame in frames:
            channels.feed(frame)
    taken = time.process_time() - started
    if output.counts[kind] != repeats * _DISTINCT_LINES:
        raise ValueError(f"{output.counts[kind]} lines were understood, not {repeats * _DISTINCT_LINES}")
    return taken


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    repeats = max(min(options.lines) // _DISTINCT_LINES, 1)
    for form in ("JSON", "text"):
        for kind in (LineKind.BLOB, LineKind.MANIFEST_LINK):
            stream = _stream(kind, form)
            seconds = median(_seconds(stream, repeats, kind) for _ in range(options.rounds))
            lines = repeats * _DISTINCT_LINES
            yield {
                "format": form,
                "lines about": str(kind),
                "lines": lines,
                "CPU seconds": seconds,
                "lines/s": int(lines / seconds),
                "MB/s": repeats * len(stream) / seconds / 1e6,
            }


BENCHMARK = Benchmark(
    name="parsing",
    title="Parsing alone",
    about="""
From the frames of an exec (32 KiB) to counted, classified lines, on one core, without a network and without the list.
The project always asks the pruner for JSON; a line that is not quite as expected goes through the full parser, as
each line of text does.
""",
    columns=("format", "lines about", "lines", "CPU seconds", "lines/s", "MB/s"),
    keys=("format", "lines about"),
    measure=_measure,
)
