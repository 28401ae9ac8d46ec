"""A run is triggered in Airflow's UI: the form, as a person fills it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Airflow

pytestmark = pytest.mark.airflow

DAG = "registry_prune_idle"


Runs = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def runs(airflow: Airflow) -> Iterator[Runs]:
    """The runs of a cluster that has none; what a test triggers is taken away again."""
    address, login = f"{airflow.url}/api/v2/dags/{DAG}/dagRuns", {"Authorization": f"Bearer {airflow.token()}"}

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(address, headers=login, timeout=30).json()["dag_runs"]
        return found

    yield listed
    for run in listed():
        requests.delete(f"{address}/{run['dag_run_id']}", headers=login, timeout=30).raise_for_status()


@pytest.fixture
def form(page: Page, airflow: Airflow) -> Locator:
    page.goto(f"{airflow.url}/dags/{DAG}")
    page.get_by_test_id("trigger-dag-button").first.click()
    return page.get_by_role("dialog").filter(has_text="Trigger Dag")


def field(form: Locator, section: str, name: str) -> Locator:
    form.get_by_role("button", name=section).click()
    return form.locator(f'[name="element_{name}"]')


def test_a_run_gets_what_a_person_has_filled_in(page: Page, form: Locator, runs: Runs) -> None:
    expect(form.get_by_text("Backfill", exact=True)).to_be_visible()
    expect(form.get_by_role("radio", name="Backfill")).to_be_disabled()
    blobs = field(form, "When to hard-prune", "min_blobs")
    expect(blobs).to_have_value("1000")
    blobs.fill("42")
    form.get_by_role("button", name="Trigger").click()
    expect(page.get_by_text("Trigger Dag")).to_have_count(0)
    [run] = runs()
    assert run["conf"]["min_blobs"] == 42
    assert (run["conf"]["hard_prune"], run["conf"]["dry_run_only"]) == ("auto", False)
    assert run["triggering_user_name"] == "admin"


def test_what_is_no_size_is_refused_and_nothing_is_triggered(form: Locator, runs: Runs) -> None:
    size = field(form, "When to hard-prune", "min_size")
    size.fill("a lot")
    form.get_by_role("button", name="Trigger").click()
    expect(form.get_by_text("a lot")).to_be_visible()
    assert runs() == []
