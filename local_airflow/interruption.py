"""Ctrl-C and the like: noted when they come, raised only where the code asks for them."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType, TracebackType


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The person asked to stop.

    :param signal_number: of the signal: ``signal.SIGINT``, ``SIGTERM`` or ``SIGHUP``; 0 when another part of
        this process gave up.
    """

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name if signal_number else "a failure elsewhere"
        super().__init__(f"interrupted by {name}")
        self.signal_number = signal_number


class Interruption:
    """Notes SIGINT, SIGTERM and SIGHUP; raises :class:`Interrupted` only where the code asks.

    Processes are started and written down in several steps. An exception between two of them would lose
    one, so a signal only makes a pipe readable and every wait of this package looks at it. Cleaning up
    does not look, so a second Ctrl-C does not abort it half way.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started with nohup: it is meant to outlive the terminal
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)  # type: ignore[arg-type]
        os.close(self._readable)
        os.close(self._writable)

    def _receive(self, signal_number: int, frame: FrameType | None) -> None:
        self.request(signal_number)

    def request(self, signal_number: int = 0) -> None:
        """Ask everything that waits on this interruption to stop; the first request counts."""
        if self.signal_number is None:
            self.signal_number = signal_number
            os.write(self._writable, b"!")

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self.signal_number is not None

    def forget(self) -> None:
        """Wait for the next request: the first one was answered and the work goes on."""
        if self.signal_number is not None:
            os.read(self._readable, 1)
            self.signal_number = None

    def check(self) -> None:
        """Raise :class:`Interrupted` if somebody asked to stop."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)

    def wait(self, seconds: float) -> None:
        """Sleep for this many seconds, or raise :class:`Interrupted` as soon as somebody asks to stop."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            select.select([self._readable], [], [], left)
