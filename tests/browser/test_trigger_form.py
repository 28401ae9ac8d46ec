"""A run is triggered by hand in Airflow's UI: the form, filled in as a person does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Airflow

pytestmark = pytest.mark.airflow


def test_explore(page: Page, airflow: Airflow) -> None:
    out = Path("/tmp/form"); out.mkdir(exist_ok=True)
    page.goto(f"{airflow.url}/dags/registry_prune_idle")
    page.get_by_test_id("trigger-dag-button").click()
    page.wait_for_timeout(6000)
    page.screenshot(path=out / "1.png")
    (out / "1.html").write_text(page.get_by_role("dialog").inner_html())
