"""Each command in the documents is run by a test, or is marked here as not run, with the reason.

A block of commands is known by its page, its heading and its place below it. What is new has no line here and fails.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])
CHINESE = PROJECT / "docs" / "zh-CN"
"""Equal to the English ones, command by command: test_chinese_documents.py keeps it."""

INSTALL = "tests/registry_prune/test_install_page.py"
ON_CALL = "tests/registry_prune/window/test_on_call.py"
SERVICE = "tests/sandbox/command_line/test_service.py"
LOCAL = "tests/local_airflow"
RIGHTS = "test_the_account_of_the_connection_has_every_right_of_a_run"
KILLED = "test_a_run_that_was_killed_is_not_gone_on_with_and_the_next_is_followed_to_its_report"
TWICE = "test_a_later_run_on_a_cluster_knows_the_earlier_one_and_its_list_is_still_there"
TYPED = "test_what_is_typed_on_make_s_command_line_reaches_the_tool"
DOWN = "test_down_ends_it_and_leaves_its_history"
MAKE_RUN = f"""not run: as a whole, with its sandbox of 3,000 blobs. Its parts are:
 {LOCAL}/commands/test_run.py::{KILLED}, {LOCAL}/commands/test_real_cluster.py::{TWICE}"""
ON_A_CLUSTER = f"{LOCAL}/test_makefile.py::{TYPED}, {LOCAL}/commands/test_real_cluster.py::{TWICE}"
NO_AIRFLOW = "not run: there is no Airflow in a cluster here"
MAKE_UP = "not run: it starts the same processes as `make run`, and stays"

RUN: dict[tuple[str, str], list[str]] = {
    ("README.md", "Try it"): [MAKE_RUN, f"{MAKE_UP}. {LOCAL}/commands/test_background.py::{DOWN}"],
    ("README.md", "On a real cluster"): [ON_A_CLUSTER],
    ("docs/try-it.md", "One whole run"): [MAKE_RUN],
    ("docs/try-it.md", "With Airflow's UI"): [
        MAKE_UP,
        f"{LOCAL}/commands/test_background.py::{DOWN}",
    ],
    ("docs/try-it.md", "On a cluster of yours"): [ON_A_CLUSTER],
    ("docs/install.md", "1. Look first"): [ON_A_CLUSTER],
    ("docs/install.md", "2. The account and its connection"): [
        f"{INSTALL}::{RIGHTS}",
        f"{INSTALL}::{RIGHTS}",
        f"{INSTALL}::{RIGHTS}",
    ],
    ("docs/install.md", "3. The image, and the guard in the cluster"): [
        "not run: there is no container engine here",
        f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again",
    ],
    ("docs/install.md", "4. The clusters' file"): [f"{INSTALL}::test_the_example_of_the_clusters_file_is_checked"],
    ("docs/install.md", "With the official chart"): [
        f"{INSTALL}::test_secret_and_file_of_clusters_are_made_and_replaced",
        "not run: Helm and the chart are not part of this project; `make chart` checks the files",
        "not run: the chart is not part of this project; test_chart_values.py has a schema of its own",
    ],
    ("docs/install.md", "In an Airflow that is there"): [NO_AIRFLOW],
    ("docs/install.md", "6. The first runs"): [NO_AIRFLOW],
    ("docs/install.md", "7. Every night"): [f"{INSTALL}::test_secret_and_file_of_clusters_are_made_and_replaced"],
    ("docs/install.md", "Take it away"): [
        f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again",
        f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again",
    ],
    ("docs/upgrade.md", "In five steps"): [
        f"{INSTALL}::test_no_lease_prints_nothing",
        f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again",
    ],
    ("docs/connection.md", "A token (recommended)"): [
        f"{INSTALL}::test_the_token_is_made_as_the_page_of_the_connection_says",
        "not run: it has a placeholder for the token; the block of docs/install.md that fills it in is run",
        f"{INSTALL}::test_the_token_is_made_as_the_page_of_the_connection_says",
    ],
    ("docs/connection.md", "Airflow in the cluster itself"): [
        f"{INSTALL}::test_the_token_is_made_as_the_page_of_the_connection_says"
    ],
    ("docs/on-call.md", "First look"): [f"{ON_CALL}::test_the_commands_to_look_show_lease_pods_and_pruner"],
    ("docs/on-call.md", "What the run is doing"): [f"{ON_CALL}::test_the_commands_to_look_show_lease_pods_and_pruner"],
    ("docs/on-call.md", "Stop a run that works"): ["not run: it needs an Airflow with a run that works and its login"],
    ("docs/on-call.md", "Let a guard close the window"): [
        f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again"
    ],
    ("docs/on-call.md", "Close a window by hand"): [f"{ON_CALL}::test_a_window_with_a_delete_in_it_is_closed_by_hand"],
    ("docs/delete-by-list.md", "Set it up"): ["not run: there is no container engine here"],
    ("docs/delete-by-list.md", "Undo"): [
        "not run: the AWS CLI is not part of this project; test_s3.py puts back by the API"
    ],
    ("docs/settings.md", "Check it before you put it in place"): [
        f"{INSTALL}::test_the_example_of_the_clusters_file_is_checked"
    ],
    ("docs/settings.md", "Approval"): [
        "not run: it needs a run that waits; tests/dags/test_before_window.py sends the same request by a client"
    ],
}

LANGUAGES = {"sh", "yaml", "json", "text", "mermaid"}
TEXT_COMMAND = re.compile(r"`((?:oc|kubectl|helm|airflow|podman|docker|python3?|\.venv/\S+|curl|pre-commit) [^`\n]+)`")
MAKE = re.compile(r"`make ([a-z]+)")
LOOK = f"{INSTALL}::test_a_look_that_a_text_names_works"
IN_TEXT = {
    "oc get $CONFIG -o jsonpath='{.metadata.annotations.registry-prune/lease}' | python3 -m json.tool": LOOK,
    "oc get $CONFIG -o yaml --show-managed-fields": "not run: the sandbox keeps no managed fields",
    "oc get configs.imageregistry.operator.openshift.io/cluster -o yaml": LOOK,
    "oc describe configs.imageregistry.operator.openshift.io cluster": LOOK,
    "oc describe pod -n registry-prune": LOOK,
    "oc get cronjob,job -n registry-prune": LOOK,
    "oc logs -n registry-prune job/NAME": f"{INSTALL}::test_the_guard_is_tried_and_all_of_it_is_taken_away_again",
    "oc apply -f deploy/exact-delete-rbac.yaml": f"{INSTALL}::{RIGHTS}",
    "oc config use-context my-cluster": "not run: it changes the reader's kubeconfig",
    "oc logs -n openshift-image-registry registry-prune-exact-delete --tail=3": "not run: it needs such a delete",
    "airflow …": "not run: the name of any of these commands",
    "oc delete job -n openshift-image-registry NAME": "not run: the name is that of a Job at work",
    "airflow dags list-import-errors": NO_AIRFLOW,
    "oc rollout restart -n airflow deploy/airflow-dag-processor": NO_AIRFLOW,
    "airflow dags trigger registry_guard": NO_AIRFLOW,
    "airflow dags trigger registry_guard --conf '{\"alert_test\": true}'": NO_AIRFLOW,
    ".venv/bin/python -m sandbox --state .state/up/sandbox seed": (
        f"{SERVICE}::test_the_images_are_known_after_down_and_up"
    ),
    "pre-commit install": "not run: it changes the reader's Git",
    "airflow dags trigger --conf": "not run: the name of a way in",
    "airflow dags reserialize": "not run: the name of what not to do",
    "airflow db clean": "not run: the name of what Airflow's administrator does",
    "kubectl exec": "not run: the name of what is compared",
    "kubectl exec … > file": "not run: the name of what is compared",
    "oc adm prune images": "not run: the name of the base prune",
    "oc exec": "not run: the name of what the documentation does",
    "oc rollout status": "not run: the name of what misleads",
    "oc replace": "not run: the name of what a person may do",
    "oc start-build": "not run: the name of what the reader does with his builds",
    "podman push --digestfile": "not run: there is no container engine here",
    "podman push": "not run: the name of what a person may do",
}
"""Commands within a text. The design records, which are no instructions, have none that are looked at."""


def page_blocks(page: Path) -> list[tuple[str, str]]:
    """Of each block: the heading above it, and its language."""
    found, heading, inside = [], "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            if not inside:
                found.append((heading, line.strip().removeprefix("```")))
            inside = not inside
        elif line.startswith("#") and not inside:
            heading = line.lstrip("#").strip()
    return found


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def english(page: Path) -> bool:
    return CHINESE not in page.parents


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def test_each_block_of_commands_is_run_or_marked() -> None:
    found = Counter(
        (name(page), heading)
        for page in filter(english, PAGES)
        for heading, language in page_blocks(page)
        if language == "sh"
    )
    assert found == {place: len(how) for place, how in RUN.items()}


def test_each_command_in_a_text_is_run_or_marked() -> None:
    pages = [page for page in PAGES if english(page) and page.parent.name != "design"]
    found = {command for page in pages for command in TEXT_COMMAND.findall(page.read_text(encoding="utf-8"))}
    assert found == set(IN_TEXT)


@pytest.mark.parametrize("how", sorted({*IN_TEXT.values(), *(how for each in RUN.values() for how in each)}))
def test_what_runs_a_command_is_there_and_what_is_not_run_has_its_reason(how: str) -> None:
    tests = re.findall(r"(tests/\S+\.py)::(\w+)", how)
    assert tests or re.match(r"not run: \w+ \w+", how)
    for file, function in tests:
        assert function in functions_of(file), function


@pytest.mark.parametrize("command", [command for command, how in IN_TEXT.items() if how == LOOK])
def test_a_look_is_one_that_the_test_knows(command: str) -> None:
    assert command in (PROJECT / INSTALL).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_says_what_it_is(page: Path) -> None:
    """A block of commands without a language would be no block of commands here."""
    assert {language for _, language in page_blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_has_each_target_that_a_page_names(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(MAKE.findall(page.read_text(encoding="utf-8"))) <= targets
