"""Command-line flags and durations as programs written in Go read them (pflag, package time)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(?P<number>\d+\.?\d*|\.\d+)(?P<unit>[^\d.]*)")
_INTEGER = re.compile(r"[+-]?\d+")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def parse_duration(text: str) -> float:
    """Seconds from a duration such as ``60m`` or ``1h30m``.

    :raises ValueError: in Go's words.
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    parts = list(_PART.finditer(unsigned))
    if not parts or "".join(part.group() for part in parts) != unsigned:
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = 0.0
    for part in parts:
        unit = part["unit"]
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        seconds += float(part["number"]) * _UNITS[unit]
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """A duration as Go prints it: ``1h0m0s``; whole seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def parse_bool(text: str) -> bool:
    """:raises ValueError: in Go's words."""
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def parse_int(text: str) -> int:
    """:raises ValueError: in Go's words."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def parse_flags(
    words: Sequence[str], kinds: Mapping[str, Callable[[str], Any]], shorthands: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Read a command line; the last occurrence of a flag counts.

    :param kinds: what reads the value of each flag; flags read by :func:`parse_bool` need none.
    :param shorthands: letter to flag.
    :returns: the flags that are there, and the words that are no flags.
    :raises ValueError: an unknown flag or a value that is none, in pflag's words.
    """
    values: dict[str, Any] = {}
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            continue
        name, value = _split(word, kinds, shorthands)
        if value is None:
            if kinds[name] is parse_bool:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise ValueError(f"flag needs an argument: --{name}")
        try:
            values[name] = kinds[name](value)
        except ValueError as error:
            raise ValueError(f'invalid argument "{value}" for "--{name}" flag: {error}') from error
    return values, arguments


def _split(word: str, kinds: Mapping[str, object], shorthands: Mapping[str, str]) -> tuple[str, str | None]:
    if word.startswith("--"):
        name, separator, value = word[2:].partition("=")
        if name not in kinds:
            raise ValueError(f"unknown flag: --{name}")
        return name, value if separator else None
    letter, value = word[1], word[2:].removeprefix("=")
    if letter not in shorthands:
        raise ValueError(f"unknown shorthand flag: '{letter}' in {word}")
    return shorthands[letter], value or None
