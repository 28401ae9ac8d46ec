"""Who alerts are sent to: a mail server, an HTTP server, Debian's Alertmanager; slow, refusing or down."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.registry_prune.settings.alerting import AlertKind

PATIENCE_SECONDS = 120
NOBODY_IS_TOLD = "route: {receiver: none}\nreceivers: [{name: none}]\n"
ALERTMANAGER = shutil.which("prometheus-alertmanager")
needs_alertmanager = pytest.mark.skipif(
    ALERTMANAGER is None, reason="Debian's package prometheus-alertmanager is not installed; .ci/run installs it"
)


def eventually(look: Callable[[], Any]) -> Any:
    """What a look shows once it shows something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


class HttpReceiver(ThreadingHTTPServer):
    """Keeps what is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.posted: list[tuple[str, Any]] = []
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def bodies(self) -> list[Any]:
        return [body for _, body in self.posted]


class _Take(BaseHTTPRequestHandler):
    server: HttpReceiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.may_answer.is_set():
            # It hangs, and in the end it has taken nothing.
            self.server.may_answer.wait(PATIENCE_SECONDS)
            return
        self.server.posted.append((self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class calls it so
        """Quiet."""


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """One on a free port."""
    with HttpReceiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            # Also for a test that fails: its process would never end.
            server.may_answer.set()
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Told:
    """Whoever is told of everything, the quiet kinds too, by an Airflow connection ``told``."""

    receiver: HttpReceiver

    @property
    def settings(self) -> dict[str, Any]:
        """Of a cluster whose alerts go there."""
        return {"alert_channels": [{"channel": "http", "connection": "told", "kinds": list(AlertKind)}]}

    @property
    def text(self) -> str:
        """What was said since the last look: every alert in full."""
        return "\n".join(f"{body['alert']}: {body['text']}" for body in self.receiver.bodies)

    def alerts(self) -> list[str]:
        """The kind and the status of each alert since the last look; sorted, as some go out side by side."""
        told = sorted(f"{body['alert']}, {body['status']}" for body in self.receiver.bodies)
        self.receiver.posted.clear()
        return told


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def alertmanager(folder: Path, configuration: str = NOBODY_IS_TOLD) -> Iterator[str]:
    """A real Alertmanager; its URL."""
    assert ALERTMANAGER is not None
    port = closed_port()
    (folder / "alertmanager.yml").write_text(configuration)
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            eventually(lambda: process.poll() is not None or _answers(f"{url}/-/ready"))
            assert process.poll() is None, (folder / "log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def alerts_of(url: str) -> list[dict[str, Any]]:
    """What Alertmanager shows as firing."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=30) as answer:
        return list(json.loads(answer.read()))
