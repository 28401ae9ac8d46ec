"""Durations as ``kubectl get`` shows them (k8s.io/apimachinery, ``duration.HumanDuration``)."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY
UNKNOWN = "<unknown>"
_FORMATS: tuple[tuple[int, int, str, int, str], ...] = (
    # shorter than, major unit, its letter, minor unit (0: not shown), its letter
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def human_duration(seconds: float) -> str:
    """``45s``, ``2m1s``, ``3h``, ``5d`` …"""
    total = int(seconds)
    if total < 0:
        return "<invalid>" if total < -1 else "0s"
    for limit, major, major_letter, minor, minor_letter in _FORMATS:
        if total < limit:
            text = f"{total // major}{major_letter}"
            rest = total % major // minor if minor else 0
            return f"{text}{rest}{minor_letter}" if rest else text
    return f"{total // _YEAR}y"


def moment(timestamp: str | None) -> datetime | None:
    """A time of the API; None if there is none or it cannot be read."""
    if not timestamp:
        return None
    try:
        return datetime.fromisoformat(timestamp)
    except ValueError:
        return None


def age(timestamp: str | None) -> str:
    """How long ago that was."""
    then = moment(timestamp)
    return UNKNOWN if then is None else human_duration((datetime.now(UTC) - then).total_seconds())
