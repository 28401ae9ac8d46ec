"""The documents as files: whole, and with links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("deploy", "docs", "sandbox", "faults", "benchmarks", "include", "dags")
DOCUMENTS = sorted(
    [*PROJECT.glob("*.md"), *(path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.md"))],
)
CODE = ("benchmarks", "dags", "faults", "include", "local_airflow", "plugins", "sandbox", "tests")
FILES = [f"/{path.relative_to(PROJECT)}" for folder in CODE for path in (PROJECT / folder).rglob("*.py")]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_document_has_no_mark_of_an_unfinished_merge(document: Path) -> None:
    lines = document.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"(<{7}|={7}|>{7})( |$)", line)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_between_documents_lead_to_a_file_and_a_heading(document: Path) -> None:
    dead = []
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        path = document.parent / target if target else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


TELLING = [
    *DOCUMENTS,
    *(path for folder in ("dags", "include", "plugins") for path in (PROJECT / folder).rglob("*.py")),
]


@pytest.mark.parametrize("text", TELLING, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_file_of_code_that_a_text_names_is_there(text: Path) -> None:
    """As a path, or as the end of one: `window/closing.py`."""
    named = set(re.findall(r"[\w/]*\w\.py\b", text.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not any(file.endswith(f"/{name}") for file in FILES)] == []
