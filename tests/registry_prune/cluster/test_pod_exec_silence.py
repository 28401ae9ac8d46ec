"""A connection on which nothing comes: pinged, waited for, and given up, by a clock that tests set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from websocket import ABNF, WebSocketConnectionClosedException, WebSocketTimeoutException

from include.registry_prune.cluster import pod_exec
from include.registry_prune.cluster.exec_channels import Channels, Stream
from include.registry_prune.cluster.pod_exec import LOST_AFTER_SECONDS, PING_SECONDS

STDOUT, ERROR = b"\x01", b"\x03"
SUCCESS = b'{"metadata":{},"status":"Success"}'


class Silence:
    """A WebSocket on which nothing comes for a time.

    :param frames: when which frame comes, in seconds since the beginning.
    :param answers: whether the other side answers pings.
    :param unreachable: whether a ping cannot even be sent.
    """

    def __init__(self, *frames: tuple[float, bytes], answers: bool = True, unreachable: bool = False) -> None:
        self.now = 0.0
        self.pings = 0
        self._frames = [(when, ABNF.OPCODE_BINARY, data) for when, data in frames]
        self._answers = answers
        self._unreachable = unreachable
        self._timeout = 0.0

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def ping(self) -> None:
        self.pings += 1
        if self._unreachable:
            raise BrokenPipeError
        if self._answers:
            self._frames.insert(0, (self.now + 0.01, ABNF.OPCODE_PONG, b""))

    def recv_data_frame(self, control_frame: bool) -> tuple[int, Any]:
        assert control_frame
        if not self._frames:
            raise WebSocketConnectionClosedException("it is closed")
        when, opcode, data = self._frames[0]
        if when > self.now + self._timeout:
            self.now += self._timeout
            raise WebSocketTimeoutException
        self.now = max(self.now, when)
        del self._frames[0]
        return opcode, SimpleNamespace(data=data)


def read(socket: Silence, monkeypatch: pytest.MonkeyPatch, limit_seconds: float | None = None) -> tuple[str, list[str]]:
    lines: list[str] = []

    def keep(_stream: Stream, line: str) -> None:
        lines.append(line)

    monkeypatch.setattr(pod_exec, "time", SimpleNamespace(monotonic=lambda: socket.now))
    return pod_exec._read(cast(Any, socket), Channels(keep), limit_seconds), lines


TEN_MINUTES = 600.0


def test_nothing_for_ten_minutes_is_no_end_while_pings_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the ping: a pruner may be silent for long, and load balancers cut connections that are."""
    socket = Silence((TEN_MINUTES, STDOUT + b"Would delete 0 blobs\n"), (TEN_MINUTES + 1, ERROR + SUCCESS))
    _, lines = read(socket, monkeypatch)
    assert lines == ["Would delete 0 blobs"]
    assert socket.pings >= TEN_MINUTES / PING_SECONDS - 1


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_connection_whose_pings_are_not_answered_is_lost(monkeypatch: pytest.MonkeyPatch, unreachable: bool) -> None:
    """Guards the end of a connection that dies silently: the dry run would wait for hours."""
    socket = Silence((TEN_MINUTES, STDOUT + b"late\n"), answers=False, unreachable=unreachable)
    how, lines = read(socket, monkeypatch)
    assert how == "the connection was silent for 45 s and pings were not answered"
    assert lines == []
    assert LOST_AFTER_SECONDS <= socket.now <= LOST_AFTER_SECONDS + PING_SECONDS


def test_silence_beyond_the_limit_is_an_unknown_end(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = Silence((TEN_MINUTES, STDOUT + b"late\n"))
    how, _ = read(socket, monkeypatch, limit_seconds=100)
    assert how == "no end after 100 s"
    assert socket.now == pytest.approx(100, abs=0.1)


def test_after_the_status_the_end_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = Silence((1, ERROR + SUCCESS), (TEN_MINUTES, b""))
    how, _ = read(socket, monkeypatch)
    assert how == "the status came"
    assert socket.now < 5
