"""Sizes and durations as people and programs write them (pure)."""

from __future__ import annotations

import re
from datetime import timedelta

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_BYTES_PER_UNIT: dict[str, int] = {unit: 1024**power for power, unit in enumerate(_BINARY_UNITS)} | {
    unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB", "EB"), start=1)
}
SIZE_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})? ?(B|[KMGTPE]iB|[kMGTPE]B)$"
"""What :func:`parse_size` takes, as a JSON schema says it (and so ASCII digits alone)."""

_DURATION_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
DURATION_PATTERN = r"^([0-9]{1,6}(\.[0-9]{1,6})?(h|ms|m|s)){1,4}$"
"""What :func:`parse_duration` takes: Go's notation, which ``oc adm prune images`` uses. Bounded, so that a point in
time can be reckoned from every duration."""


def parse_size(text: str) -> int:
    """Bytes that a size such as ``2GiB``, ``22.83KiB``, ``2.835 GiB`` or ``0B`` stands for.

    :raises ValueError: if it is no size; the message says what a size looks like.
    """
    if not re.fullmatch(SIZE_PATTERN, text):
        raise ValueError(f"{text!r} is not a size: write a number and a unit, such as 500MiB or 2GiB")
    number = re.match(r"[0-9.]+", text)
    assert number is not None
    bytes_per_unit = _BYTES_PER_UNIT[text[number.end() :].strip()]
    return round(float(number.group()) * bytes_per_unit)


def format_size(size_bytes: int) -> str:
    """A size for people: binary units, four significant digits (``2.835 GiB``)."""
    size = float(size_bytes)
    for unit in _BINARY_UNITS:
        if size < 1024 or unit == _BINARY_UNITS[-1]:
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def parse_duration(text: str) -> timedelta:
    """The time that a duration such as ``60m`` or ``1h30m`` stands for.

    :raises ValueError: if it is no duration; the message says what one looks like.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write for example 60m, 1h30m or 96h")
    parts = re.findall(r"([0-9.]+)(h|ms|m|s)", text)
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def format_seconds(seconds: float) -> str:
    """A time span for people: ``42 s``, ``3 min 05 s``, ``4 h 21 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_count(count: int, singular: str) -> str:
    """A count with its noun: ``1 blob``, ``3,214 blobs``."""
    plural = singular[:-1] + "ies" if singular.endswith("y") else singular + "s"
    return f"{count:,} {singular if count == 1 else plural}"
