"""How long a person waits for the page, beside Airflow's own grid of the same runs."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row
from local_airflow.instance.airflow_instance import free_port
from local_airflow.instance.environment import AirflowSettings, Secrets, airflow_environment

_DAG = "registry_prune"
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
_STARTED_WITHIN_SECONDS = 600.0
_SHOWN_WITHIN_MILLISECONDS = 300_000
_RUNS_ON_A_PAGE = 15
_COLUMNS_THAT_FIT = 10
"""The grid makes only the columns that can be seen, of however many runs it has asked for."""
_ASKED = """() => {
  const answers = performance.getEntriesByType("resource").filter((each) => each.startTime >= BEGAN
    && ["fetch", "xmlhttprequest"].includes(each.initiatorType));
  return { answers: answers.length, bytes: answers.reduce((sum, each) => sum + each.transferSize, 0),
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null };
}"""


@dataclass(frozen=True)
class _Sight:
    """What is looked at.

    :param path: below Airflow's address.
    :param most: so many runs are shown.
    :param chosen: they are chosen in the page, and not shown at first.
    """

    name: str
    path: str
    most: int
    chosen: bool = False

    def is_there(self, runs: int) -> str:
        """A condition in JavaScript: all of it can be read."""
        shown = min(self.most, runs)
        if self.path.startswith("/plugin/"):
            pages = f"page 1 of {-(-shown // _RUNS_ON_A_PAGE)}"
            return (
                f'document.body.innerText.includes("{pages}")'
                " && document.querySelector('figure[data-plot=\"Backlog\"] svg[role=img]') !== null"
            )
        return (
            "new Set([...document.querySelectorAll('a[href*=\"/runs/\"]')]"
            f".map((link) => link.href.split('/runs/')[1].split('/')[0])).size >= {min(shown, _COLUMNS_THAT_FIT)}"
            ' && document.querySelector(\'a[href*="/tasks/"][href*="/runs/"]\') !== null'
        )


_PAGE, _GRID = f"/plugin/registry-prune?cluster={_DAG}", f"/dags/{_DAG}"
_SIGHTS = (
    _Sight("the page", _PAGE, 100),
    _Sight("the page, all chosen", _PAGE, 1000, chosen=True),
    _Sight("Airflow's grid", _GRID, 10),
    _Sight("Airflow's grid, its most", _GRID, 100),
)


@contextmanager
def _api_server(folder: Path, runs: int) -> Iterator[str]:
    """An api-server with so many runs; its address."""
    clusters = folder / "clusters.yaml"
    clusters.write_text("default: {}\n", encoding="utf-8")
    settings = AirflowSettings(
        home=folder, project=PROJECT, dags_folder=PROJECT / "dags", port=free_port(), clusters_file=clusters
    )
    environment = airflow_environment(settings, Secrets.generate(), os.environ)
    with (folder / "output").open("wb") as output:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.page.prepare", str(runs)],
            cwd=PROJECT, env=environment, stdout=output, stderr=output, check=True,
        )  # fmt: skip
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"], env=environment, stdout=output, stderr=output
        )
        try:
            _wait_for(settings.url, server)
            yield settings.url
        finally:
            server.terminate()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _STARTED_WITHIN_SECONDS
    while time.monotonic() < ends:
        if server.poll() is not None:
            raise ChildProcessError(f"the api-server ended with exit status {server.returncode}")
        with suppress(requests.RequestException):
            if requests.get(f"{url}/api/v2/version", timeout=5).ok:
                return
        time.sleep(0.2)
    raise TimeoutError(f"the api-server does not answer at {url}")


def _look(browser: Browser, url: str, sight: _Sight, runs: int, rounds: int) -> Row:
    """Median figures of a browser that has been there before."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_init_script(f"localStorage.setItem('dag_runs_limit-{_DAG}', '{sight.most}')")
    page = context.new_page()
    page.set_default_timeout(_SHOWN_WITHIN_MILLISECONDS)
    try:
        seen = [_seen(page, url, sight, runs) for _ in range(rounds + 1)][1:]
    finally:
        context.close()
    figures = {name: median(each[name] for each in seen) for name in seen[0]}
    return {
        "what": sight.name,
        "runs there": runs,
        "runs shown": min(sight.most, runs),
        "first paint, s": None if sight.chosen else figures["paint"],
        "until shown, s": figures["shown"],
        "answers": int(figures["answers"]),
        "answers, KB": figures["bytes"] / 1000,
    }


def _seen(page: Page, url: str, sight: _Sight, runs: int) -> dict[str, float]:
    began = 0.0
    page.goto(f"{url}{sight.path}", wait_until="commit")
    if sight.chosen:
        choice = page.get_by_label("the last")
        choice.wait_for()
        page.wait_for_load_state("networkidle")
        began = float(page.evaluate("performance.now()"))
        choice.select_option(str(sight.most))
    shown = page.wait_for_function(f"() => {sight.is_there(runs)} && performance.now()", polling="raf").json_value()
    asked = page.evaluate(_ASKED.replace("BEGAN", str(began)))
    return {
        "shown": (float(shown) - began) / 1000,
        "paint": float(asked["paint"] or 0) / 1000,
        "answers": float(asked["answers"]),
        "bytes": float(asked["bytes"]),
    }


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("no chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="registry-prune-page-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        with _api_server(Path(folder), options.page_runs) as url:
            for sight in _SIGHTS:
                yield _look(browser, url, sight, options.page_runs, options.page_rounds)
        browser.close()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("page")
    group.add_argument("--page-runs", type=int, default=1000, help="in the database and the store (%(default)s)")
    group.add_argument("--page-rounds", type=int, default=5, help="of which the median counts (%(default)s)")


BENCHMARK = Benchmark(
    name="page",
    title="The page in Airflow's UI",
    about="""
A run a day for years, each with its tasks in Airflow's database (SQLite) and its report in the store, looked at with
Chromium, which has been there before; the page beside Airflow's own grid of the same DAG. *First paint* is the
browser's own figure (first contentful paint), of Airflow's frame around both. *Until shown* is from the click until
plots and table, or the columns that fit, are there. *All chosen* is from the choice of the last 1,000, in a
page that is open. Airflow's API gives its grid 100 runs at most (`maximum_page_limit`).
""",
    columns=("what", "runs there", "runs shown", "first paint, s", "until shown, s", "answers", "answers, KB"),
    keys=("what", "runs there"),
    measure=_measure,
    add_arguments=_add_arguments,
)
