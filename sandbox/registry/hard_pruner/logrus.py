"""Log lines as the registry's logging library (logrus) writes them, as text or as JSON, on stderr."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping

LEVELS = ("fatal", "error", "warning", "info", "debug")
GO_VERSION = "go1.26.6"
CONTEXT: Mapping[str, object] = {"go.version": GO_VERSION}
"""Fields of the lines that the registry writes with its own logger; the others have none."""

_ANY_TIME = "0000-00-00T00:00:00.000000000Z"
_NO_FIELDS: Mapping[str, object] = {}
_BARE = re.compile(r"[A-Za-z0-9./@^+_-]*")
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: ``json.dumps`` would make one for each line."""


def level_named(name: str) -> str | None:
    """The level that the name means (``warn`` is ``warning``), or None."""
    name = name.lower()
    level = "warning" if name == "warn" else name
    return level if level in LEVELS else None


class Logger:
    """Writes lines of its level and above.

    :param level: one of ``LEVELS``.
    :param formatter: ``text`` or ``json``.
    :param whole_seconds: how time is written before the registry has read its configuration.
    """

    def __init__(self, level: str = "info", formatter: str = "text", *, whole_seconds: bool = False) -> None:
        self._highest = LEVELS.index(level)
        self._json = formatter == "json"
        self._whole_seconds = whole_seconds
        self._second = -1
        self._second_text = ""

    def enabled(self, level: str) -> bool:
        """Would a line of that level be written?"""
        return LEVELS.index(level) <= self._highest

    def line(self, level: str, message: str, fields: Mapping[str, object] = _NO_FIELDS) -> None:
        """Write one line, if its level is enabled."""
        if not self.enabled(level):
            return
        entry = {"time": self._now(), "level": level, "msg": message}
        sys.stderr.write(self._formatted(entry, fields) + "\n")

    def fatal(self, message: str) -> None:
        """The line before the process gives up."""
        self.line("fatal", message)

    def warning(self, message: str) -> None:
        """A warning of the registry."""
        self.line("warning", message, CONTEXT)

    def info(self, message: str) -> None:
        """What the registry does."""
        self.line("info", message, CONTEXT)

    def debug(self, message: str) -> None:
        """What the registry leaves alone."""
        self.line("debug", message, CONTEXT)

    def undated(self, message: str) -> str:
        """What :meth:`info` would write, with a time that :meth:`dated` replaces."""
        return self._formatted({"time": _ANY_TIME, "level": "info", "msg": message}, CONTEXT) + "\n"

    def dated(self, lines: bytes) -> bytes:
        """Lines that :meth:`undated` made, at the present time and of the same length."""
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        now = time.strftime(f"%Y-%m-%dT%H:%M:%S.{nanosecond:09d}Z", time.gmtime(second))
        return lines.replace(_ANY_TIME.encode(), now.encode())

    def _formatted(self, entry: Mapping[str, str], fields: Mapping[str, object]) -> str:
        return _as_json({**entry, **fields}) if self._json else _as_text(entry, fields)

    def _now(self) -> str:
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        fraction = "" if self._whole_seconds else f".{nanosecond:09d}".rstrip("0").rstrip(".")
        return f"{self._second_text}{fraction}Z"


def _as_text(entry: Mapping[str, str], fields: Mapping[str, object]) -> str:
    pairs = [*entry.items(), *sorted(fields.items())]
    return " ".join(f"{key}={_quoted(value)}" for key, value in pairs)


def _quoted(value: object) -> str:
    # The text of openshift_version, an object in JSON, is its gitVersion: empty in every build seen.
    text = "" if isinstance(value, dict) else str(value)
    return text if _BARE.fullmatch(text) else _encode(text)


def _as_json(entry: Mapping[str, object]) -> str:
    # The fields are sorted; what is within one (openshift_version) keeps its order.
    return _encode(dict(sorted(entry.items()))).translate(_HTML)
