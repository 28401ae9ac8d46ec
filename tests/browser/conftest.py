"""A real api-server with prepared runs, below a path, and Debian's Chromium to look at it with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from local_airflow.instance.airflow_instance import free_port
from local_airflow.instance.environment import AirflowSettings, Secrets, airflow_environment
from tests.browser.auth_manager import GUEST, OneByOne

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BELOW = "/airflow"
"""Airflow lives below a path here: whatever forgets that is not found."""
PASSWORDS = {"admin": "of the tests", GUEST: "of the guest"}
STARTED_WITHIN_SECONDS = 300


# For a machine with other work: a test ends as soon as it sees what it waits for.
expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Airflow:
    """The api-server.

    :param url: of its UI, without a slash at the end.
    :param now: when what it shows was prepared.
    """

    url: str
    now: datetime

    def token(self, user: str = "admin") -> str:
        """A login."""
        credentials = {"username": user, "password": PASSWORDS[user]}
        answer = requests.post(f"{self.url}/auth/token", json=credentials, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def airflow(airflow_database: None, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """One api-server for all tests of a module: it alone is enough, nothing is scheduled."""
    from tests.browser.prepared_runs import CLUSTERS, prepare

    home, port = Path(os.environ["AIRFLOW_HOME"]), free_port()
    for kept in ("reports", *(f"registry_prune_{name}" for name in CLUSTERS)):
        shutil.rmtree(home / "registry-prune" / kept, ignore_errors=True)
    now = datetime.now(UTC)
    prepare(home, now)
    folder = tmp_path_factory.mktemp("api-server")
    (folder / "clusters.yaml").write_text("".join(f"{name}: {{}}\n" for name in CLUSTERS))
    settings = AirflowSettings(
        home=home,
        project=PROJECT,
        dags_folder=PROJECT / "dags",
        port=port,
        clusters_file=folder / "clusters.yaml",
        login=True,
        overrides={
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}{BELOW}",
            "AIRFLOW__CORE__AUTH_MANAGER": f"{OneByOne.__module__}.{OneByOne.__qualname__}",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{GUEST}:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        },
    )
    (folder / "passwords.json").write_text(json.dumps(PASSWORDS))
    log = folder / "api-server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"],
            env=airflow_environment(settings, Secrets.generate(), os.environ),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Airflow(f"http://127.0.0.1:{port}{BELOW}", now)
    try:
        _wait_for(running, server, log)
        yield running
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(airflow: Airflow, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + STARTED_WITHIN_SECONDS
    while time.monotonic() < ends:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        with suppress(requests.RequestException):
            if requests.get(f"{airflow.url}/api/v2/version", timeout=5).ok:
                return
        time.sleep(0.2)
    raise AssertionError(f"the api-server does not answer:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, airflow: Airflow, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """Logged in as the administrator; ``context`` as an indirect parameter: options of the browser's context."""
    options: dict[str, Any] = dict(getattr(request, "param", {}))
    user = options.pop("user", "admin")
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, **options)
    context.set_default_timeout(30_000)
    if user:
        context.add_cookies([{"name": "_token", "value": airflow.token(user), "url": f"{airflow.url}/"}])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of its own, on which no script fails."""
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    assert failures == []
