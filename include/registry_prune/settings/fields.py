"""Values of settings that more is asked of than their type: each is kept as it was typed (pure).

:raises ValueError: each says what is wrong and what would be right.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

from include.registry_prune.deletion.detached_delete import LARGEST_LOG_BYTES, SMALLEST_LOG_BYTES
from include.registry_prune.settings.opening_hours import parse_opening_hours, parse_zone
from include.registry_prune.settings.parameters import Duration
from include.registry_prune.units import format_seconds, format_size, parse_duration, parse_size


def checked_hours(text: str) -> str:
    """Opening hours that can be read."""
    parse_opening_hours(text, "UTC")
    return text


def checked_zone(name: str) -> str:
    """A time zone that this machine knows."""
    parse_zone(name)
    return name


def checked_time(text: str) -> str:
    """A duration that is not zero."""
    if not parse_duration(text):
        raise ValueError(f"{text!r} is no time at all: write something longer, such as 15s, 60m or 12h")
    return text


def checked_log_size(text: str) -> str:
    """A size that a pod's ``/dev/shm`` has room for."""
    if not SMALLEST_LOG_BYTES <= parse_size(text) <= LARGEST_LOG_BYTES:
        smallest, largest = format_size(SMALLEST_LOG_BYTES), format_size(LARGEST_LOG_BYTES)
        raise ValueError(f"{text!r} should be {smallest} to {largest}: the pod's /dev/shm has 64 MiB")
    return text


def at_most(longest: timedelta) -> AfterValidator:
    """For a duration that may not be longer than this."""

    def check(text: str) -> str:
        if parse_duration(text) > longest:
            raise ValueError(f"{text!r} should be {format_seconds(longest.total_seconds())} at most")
        return text

    return AfterValidator(check)


Time = Annotated[Duration, AfterValidator(checked_time)]
"""A duration that is not zero."""
