from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from local_airflow.interruption import Interrupted, Interruption


@pytest.fixture
def restored_handler(number: signal.Signals) -> Iterator[None]:
    """The signal is not ignored, as it may be when the tests themselves were started with nohup."""
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_wait_at_once(number: signal.Signals, restored_handler: None) -> None:
    with Interruption() as interruption:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(Interrupted) as caught:
            interruption.wait(30)
        timer.join()
    assert caught.value.signal_number == number
    assert time.monotonic() - begun < 10


def test_signal_changes_nothing_until_somebody_looks() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(Interrupted, match="SIGINT"):
            interruption.check()


def test_request_of_another_thread_ends_a_wait() -> None:
    with Interruption() as interruption:
        timer = threading.Timer(0.05, interruption.request)
        timer.start()
        with pytest.raises(Interrupted):
            interruption.wait(30)
        timer.join()


def test_forgotten_interruption_does_not_come_back_but_the_next_one_counts() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        interruption.forget()
        interruption.wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            interruption.wait(30)


def test_earlier_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_hang_up_stays_ignored_under_nohup() -> None:
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from local_airflow.interruption import Interruption\n"
        "with Interruption() as interruption:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    interruption.wait(0.1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
