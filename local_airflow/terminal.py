"""Lines for the person at the terminal, or for the file that stands in for it."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TextIO


class Terminal:
    """Prints lines; where it can, keeps the last one up to date in place.

    A terminal that is gone must not keep the cleaning up from happening, so failures to write are ignored.
    Threads may share it.

    :param stream: where to, usually ``sys.stdout``.
    :param interval_seconds: how often, at most, a changing line is printed again when it cannot be changed
        in place.
    """

    def __init__(self, stream: TextIO, interval_seconds: float = 2.0) -> None:
        self._stream = stream
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._status = ""
        self._last_plain_status = float("-inf")
        self.in_place = stream.isatty()

    def line(self, text: str) -> None:
        """Print lines that stay, in place of the line that was kept up to date."""
        with self._lock:
            self._erase()
            self._write(text + "\n")
            if self.in_place:
                self._status = ""

    def event(self, text: str) -> None:
        """Print a line that stays, after the time since the beginning."""
        self.line(self._timed(text))

    def status(self, text: str) -> None:
        """Show what goes on right now: in place, or as a further line if the last one is old enough."""
        with self._lock:
            if self.in_place:
                self._erase()
                self._status = self._timed(text)[: shutil.get_terminal_size().columns - 1]
                self._write(self._status)
            elif text != self._status and time.monotonic() - self._last_plain_status >= self._interval:
                self._status = text
                self._last_plain_status = time.monotonic()
                self._write(self._timed(text) + "\n")

    def clear_status(self) -> None:
        """Take the line away that is kept up to date."""
        with self._lock:
            self._erase()
            self._status = ""

    def elapsed_seconds(self) -> float:
        """Seconds since this terminal was set up."""
        return time.monotonic() - self._begun

    def _timed(self, text: str) -> str:
        minutes, seconds = divmod(int(self.elapsed_seconds()), 60)
        return f"{minutes:3d}:{seconds:02d}  {text}"

    def _erase(self) -> None:
        if self.in_place and self._status:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the terminal was closed
