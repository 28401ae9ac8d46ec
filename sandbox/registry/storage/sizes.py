"""Sizes in bytes, as the pruner prints them and as people type them."""

from __future__ import annotations

import re

_BASE = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_QUANTITY = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGTP]?i?B?)\s*", re.IGNORECASE)


def bytes_size(size: float) -> str:
    """A size as the pruner's summary has it: binary units, four significant digits (``22.83KiB``, ``0B``).

    :param size: bytes.
    """
    unit = 0
    while size >= _BASE and unit < len(_UNITS) - 1:
        size /= _BASE
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}"


def parse_size(text: str) -> int:
    """Bytes from a quantity such as ``64MiB``, ``2 GiB``, ``500k`` or ``4096``; all units are binary.

    :raises ValueError: no such quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number and a unit, for example 64MiB or 2GiB")
    exponent = "BKMGTP".index((match["unit"].upper() or "B")[0])
    return int(float(match["number"]) * _BASE**exponent)
