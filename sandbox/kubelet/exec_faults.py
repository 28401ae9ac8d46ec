"""Orders for what goes wrong with an exec."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Effect = Literal["close", "abort", "freeze", "refuse"]

_MEANINGS = {
    "close": "the WebSocket is closed properly, without an exit status (kubectl then exits 0)",
    "abort": "the connection breaks without a closing frame",
    "freeze": "the connection stays, but nothing comes any more, not even an answer to a ping",
    "refuse": "the kubelet answers 500 and starts nothing",
}


@dataclass(frozen=True)
class ExecFault:
    """What goes wrong with the next execs that match. Whatever happens to the connection, the command goes on.

    :param effect: see :func:`meanings`.
    :param after_seconds: since the connection was accepted.
    :param after_bytes: of output that was sent; the part up to there still arrives. With neither this nor
        ``after_seconds``, and not ``at_exit``, it happens at once.
    :param at_exit: it happens instead of sending the exit status.
    :param command: only commands that contain this text.
    :param pod: only pods whose name starts with this.
    :param times: how many execs it meets at most; None for all.
    :param message: of ``refuse``.
    """

    effect: Effect
    after_seconds: float | None = None
    after_bytes: int | None = None
    at_exit: bool = False
    command: str = ""
    pod: str = ""
    times: int | None = 1
    message: str = "container runtime is down"

    def __post_init__(self) -> None:
        if self.effect not in get_args(Effect):
            raise ValueError(f"no effect {self.effect!r}; there are: {', '.join(get_args(Effect))}")

    @property
    def at_once(self) -> bool:
        """Nothing has to happen first."""
        return self.after_seconds is None and self.after_bytes is None and not self.at_exit


def meanings() -> dict[str, str]:
    """Every effect and what it does."""
    return dict(_MEANINGS)


class ExecFaults:
    """The orders in force. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[ExecFault, int | None]] = []

    def add(self, fault: ExecFault) -> None:
        """Put an order in force, behind the others."""
        with self._lock:
            self._faults.append((fault, fault.times))

    def clear(self) -> None:
        """Take all orders out of force."""
        with self._lock:
            self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The orders in force, and for how many more execs."""
        with self._lock:
            return [{**asdict(fault), "remaining": remaining} for fault, remaining in self._faults]

    def take(self, pod: str, command: list[str]) -> ExecFault | None:
        """The first order that this exec meets, used up by one."""
        with self._lock:
            for index, (fault, remaining) in enumerate(self._faults):
                if not pod.startswith(fault.pod) or fault.command not in " ".join(command):
                    continue
                if remaining is not None and remaining <= 1:
                    del self._faults[index]
                else:
                    self._faults[index] = (fault, None if remaining is None else remaining - 1)
                return fault
        return None
