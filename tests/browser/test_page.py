"""The page in Airflow's UI, as a person sees it: Debian's Chromium against a real api-server below a path."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.auth_manager import GUEST
from tests.browser.conftest import BELOW, PASSWORDS, Airflow
from tests.browser.prepared_runs import (
    BERLIN,
    BERLIN_RUNS,
    DAMAGED,
    DIGESTS,
    EVIL,
    HAMBURG,
    LEIPZIG,
    LOG_LINE,
    MUNICH,
    MUNICH_EXPECTED,
    berlin_report,
    guard_round,
    munich_progress,
    newest_due,
    run_id_of,
)

pytestmark = pytest.mark.airflow

SCREENSHOTS = os.environ.get("REGISTRY_PRUNE_SCREENSHOTS")
"""A folder, for the pictures of the README."""
AS_GUEST = {"user": GUEST}
DARK = {"color_scheme": "dark"}
CONTRAST = """
(selector) => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(selector)].flatMap((element) => {
    const [a, b] = [channels(getComputedStyle(element).color).slice(0, 3), under(element)].map(light);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return contrast < 4.5 ? [`${element.className}: ${contrast.toFixed(2)}`] : [];
  });
}
"""


def picture(page: Page, name: str, *, height: int = 1000) -> None:
    if SCREENSHOTS:
        page.set_viewport_size({"width": 1440, "height": height})
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def opened(page: Page, airflow: Airflow, **parameters: str) -> None:
    query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in parameters.items())
    page.goto(f"{airflow.url}/plugin/registry-prune?{query}")
    expect(page.get_by_role("heading", name="Registry prune", exact=True)).to_be_visible()


def plot(page: Page, title: str) -> Any:
    return page.locator(f'figure[data-plot="{title}"]')


def newest_run(page: Page, airflow: Airflow) -> str:
    run_id = run_id_of(newest_due(airflow.now))
    opened(page, airflow, cluster=BERLIN, run=run_id)
    expect(page.get_by_role("heading", name=run_id)).to_be_visible()
    return run_id


@pytest.mark.parametrize("context", [{"user": ""}], indirect=True)
def test_a_person_logs_in_and_finds_the_page_in_the_menu(page: Page, airflow: Airflow) -> None:
    page.goto(f"{airflow.url}/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORDS["admin"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Registry prune").click()
    expect(page.locator('[data-cluster="berlin"]')).to_contain_text("takes pushes")
    assert page.url.startswith(f"{airflow.url}/plugin/registry-prune")


def test_a_card_says_whether_pushes_are_taken_since_when_and_until_when(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=BERLIN)
    munich = page.locator('[data-cluster="munich"]')
    expect(munich).to_contain_text("read-only")
    expect(munich).to_contain_text("by run manual__munich")
    expect(munich).to_contain_text(f"It must end by {airflow.now + timedelta(hours=3):%Y-%m-%d %H:%M} UTC")
    berlin = page.locator('[data-cluster="berlin"]')
    expect(berlin).to_contain_text("184,220 blobs")
    expect(berlin).to_contain_text(re.compile(r"looked \d+ min"))
    expect(page.locator('[data-cluster="idle"]')).to_contain_text("not known")
    expect(plot(page, "Backlog").locator("svg[role=img]")).to_be_visible()
    picture(page, "page-overview", height=1105)


def test_the_plots_have_the_figures_of_the_reports(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=BERLIN)
    orphans = plot(page, "Orphaned blobs")
    expect(orphans.locator("rect.rp-hit")).to_have_count(BERLIN_RUNS)
    newest = orphans.locator("rect.rp-hit title").last
    assert "found 184,220, deleted 184,220" in str(newest.text_content())
    expect(plot(page, "Read-only minutes")).to_contain_text("limit, 4 h 00 min")
    expect(plot(page, "Backlog")).to_contain_text("blobs left to the next run")
    expect(orphans.locator("figcaption ~ svg path.rp-cross")).to_have_count(1)
    orphans.get_by_role("button", name="as a table").click()
    reports = [berlin_report(BERLIN, newest_due(airflow.now) - timedelta(days=age), age) for age in range(BERLIN_RUNS)]
    expect(orphans.locator("tbody td:nth-child(2)")).to_have_text([f"{report.orphaned_blobs:,}" for report in reports])
    expect(orphans.locator("tbody td:nth-child(3)")).to_have_text([f"{report.deleted_blobs:,}" for report in reports])


@pytest.mark.parametrize("context", [{}, DARK], indirect=True, ids=["light", "dark"])
def test_all_of_it_can_be_read_in_light_and_in_dark(
    page: Page, airflow: Airflow, request: pytest.FixtureRequest
) -> None:
    dark = request.node.callspec.id == "dark"
    opened(page, airflow, cluster=BERLIN)
    expect(plot(page, "Freed").locator("svg[role=img]")).to_be_visible()
    background = page.evaluate("getComputedStyle(document.querySelector('.rp-card')).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is dark
    shown = (
        ".rp-badge, .rp-card dd, .rp-card dt, .rp-note, .rp-link, .rp-table td, .rp-table th, .rp-legend, .rp-page h2"
    )
    assert page.evaluate(CONTRAST, shown) == []
    picture(page, f"page-{'dark' if dark else 'light'}")


def test_another_cluster_is_chosen_by_its_card_and_in_the_list(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=BERLIN)
    expect(page.get_by_role("heading", name="Runs of berlin")).to_be_visible()
    page.locator('[data-cluster="leipzig"]').get_by_role("link", name="leipzig").click()
    expect(page.get_by_role("heading", name="Runs of leipzig")).to_be_visible()
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(1)
    page.get_by_label("Cluster").select_option("idle")
    expect(page.get_by_role("heading", name="Runs of idle")).to_be_visible()
    expect(page.get_by_text("No run yet.")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Runs of leipzig")).to_be_visible()


def test_a_run_is_opened_with_its_verdict_its_figures_and_its_window(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=BERLIN)
    page.get_by_role("table", name="Runs").locator("tbody tr").first.get_by_role("link").click()
    run = page.get_by_role("region", name=f"Run {run_id_of(newest_due(airflow.now))}")
    for shown in ("pruned", "184,220 orphaned blobs ≥ 1,000", "freed 4.138 GiB", "0 before, 0 after", "10 min 07 s"):
        expect(run).to_contain_text(shown)
    tasks = run.get_by_role("list", name="Tasks of the run")
    expect(tasks.get_by_role("listitem")).to_have_count(21)
    band, bar = tasks.locator(".rp-window").first, tasks.get_by_role("listitem").filter(has_text="hard_prune")
    window, delete = band.bounding_box(), bar.locator(".rp-time").bounding_box()
    assert window is not None
    assert delete is not None
    assert window["x"] < delete["x"] < delete["x"] + delete["width"] < window["x"] + window["width"]
    picture(page, "page-run", height=1250)


def test_a_task_leads_to_its_log(page: Page, airflow: Airflow) -> None:
    newest_run(page, airflow)
    page.get_by_role("list", name="Tasks of the run").get_by_role("link", name="hard_prune").click()
    expect(page.get_by_text(LOG_LINE)).to_be_visible()
    assert BELOW in page.url


def test_a_list_is_downloaded(page: Page, airflow: Airflow, tmp_path: Path) -> None:
    newest_run(page, airflow)
    for title, file in (
        ("Candidates of the dry run", "dry_run-candidates"),
        ("What was deleted", "hard_prune-deleted"),
    ):
        with page.expect_download() as begun:
            page.get_by_role("link", name=title).click()
        begun.value.save_as(tmp_path / file)
        assert begun.value.suggested_filename.endswith(f"{file}.txt")
        assert (tmp_path / file).read_text() == "".join(f"blob sha256:{digest.decode()}\n" for digest in DIGESTS)


def test_the_progress_of_a_delete_moves(page: Page, airflow: Airflow) -> None:
    munich_progress(30_000)
    opened(page, airflow, cluster=MUNICH, run="manual__munich")
    progress = page.get_by_role("status").filter(has_text="Deleting")
    expect(progress).to_contain_text(f"30,000 of {MUNICH_EXPECTED:,} blobs")
    expect(progress).to_contain_text("Done in about 25 min 00 s")
    munich_progress(45_000)
    expect(progress).to_contain_text(f"45,000 of {MUNICH_EXPECTED:,} blobs (50 %)")
    expect(page.get_by_text("Still to come")).to_contain_text("restore_read_write")
    picture(page, "page-progress")


def test_a_thousand_runs_are_thinned_and_paged(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=HAMBURG)
    expect(plot(page, "Freed").locator("rect.rp-hit")).to_have_count(100)
    page.get_by_label("the last").select_option("1000")
    freed = plot(page, "Freed")
    expect(freed.locator("rect.rp-hit").first.locator("title")).to_contain_text("The most of 7 runs.")
    assert freed.locator("rect.rp-hit").count() <= 160
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(15)
    expect(page.get_by_text("page 1 of 67")).to_be_visible()
    page.get_by_role("button", name="older").click()
    expect(page.get_by_text("page 2 of 67")).to_be_visible()


def test_a_damaged_report_is_named(page: Page, airflow: Airflow) -> None:
    opened(page, airflow, cluster=LEIPZIG)
    expect(page.get_by_text(DAMAGED)).to_be_visible()
    expect(page.get_by_role("table", name="Runs").locator("tbody tr")).to_have_count(1)


def test_what_a_report_says_is_text_and_never_markup(page: Page, airflow: Airflow) -> None:
    """Guards whoever looks: who may write a report would act with his rights."""
    opened(page, airflow, cluster=LEIPZIG)
    page.get_by_role("table", name="Runs").get_by_text(EVIL).wait_for()
    page.get_by_role("table", name="Runs").get_by_role("link").first.click()
    expect(page.locator(".rp-lines").get_by_text(EVIL)).to_have_count(2)
    assert page.locator(".rp-page").locator("img, script").count() == 0


def test_a_run_that_airflow_has_forgotten_is_shown_by_what_it_kept(page: Page, airflow: Airflow) -> None:
    run_id = run_id_of(newest_due(airflow.now) - timedelta(days=3))
    opened(page, airflow, cluster=BERLIN, run=run_id)
    expect(page.get_by_text("Airflow has forgotten it")).to_be_visible()
    expect(page.get_by_text("How long each took")).to_be_visible()


def test_the_dashboard_tells_of_a_registry_that_is_read_only_and_of_no_other(page: Page, airflow: Airflow) -> None:
    page.goto(f"{airflow.url}/")
    widget = page.get_by_role("region", name="Registry prune")
    expect(widget).to_contain_text("munich")
    expect(widget).to_contain_text("It must end by")
    expect(widget).not_to_contain_text("berlin")
    picture(page, "page-widget")
    widget.get_by_role("link", name="munich", exact=True).click()
    expect(page.get_by_role("heading", name="Runs of munich")).to_be_visible()


@pytest.mark.parametrize("context", [AS_GUEST], indirect=True)
def test_a_viewer_without_rights_sees_no_cluster(page: Page, airflow: Airflow) -> None:
    with page.expect_response(f"**{BELOW}/registry-prune/clusters") as answered:
        page.goto(f"{airflow.url}/")
    assert answered.value.status == 403
    expect(page.get_by_role("region", name="Registry prune")).to_have_count(0)
    opened(page, airflow, cluster=BERLIN)
    expect(page.get_by_text("you may read none of the registry's DAGs")).to_be_visible()
    expect(page.locator("[data-cluster]")).to_have_count(0)


def test_the_cards_of_two_entries_for_one_cluster_name_each_other(page: Page, airflow: Airflow) -> None:
    for name in ("hamburg", "leipzig"):
        guard_round(name, airflow.now + timedelta(seconds=1), cluster_id="4711")
    opened(page, airflow, cluster=BERLIN)
    for name, other in (("hamburg", "leipzig"), ("leipzig", "hamburg")):
        card = page.locator(f'[data-cluster="{name}"]')
        expect(card.locator(".rp-problem")).to_contain_text(f"the same cluster as that of {other}")
    expect(page.locator('[data-cluster="berlin"] .rp-problem')).to_have_count(0)
