"""The Chinese documents are built as the English ones: the same headings, blocks, tables, names and links."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CHINESE = PROJECT / "docs" / "zh-CN"
TWINS = {
    PROJECT / "README.md": PROJECT / "README.zh-CN.md",
    **{PROJECT / "docs" / page.name: page for page in sorted(CHINESE.glob("*.md"))},
}
"""Each English page that is there in Chinese, and that one."""
ENGLISH_OF = {chinese: english for english, chinese in TWINS.items()}
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


@dataclass
class Section:
    """A heading with what is below it, before the next one."""

    level: int
    title: str
    lines: list[str] = field(default_factory=list)
    blocks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def tables(self) -> list[int]:
        """Of each row, how many cells it has."""
        return [len(re.split(r"(?<!\\)\|", line)) for line in self.lines if line.startswith("|")]

    @property
    def lists(self) -> list[str]:
        return [found[0] for line in self.lines if (found := re.match(r"\*(?= )|\d+\.(?= )", line))]

    @property
    def names(self) -> Counter[str]:
        """What is code within the text; a mention more or less of the same name is a matter of grammar."""
        return Counter(set(re.findall(r"`([^`\n]+)`", self.text)))


def sections(page: Path) -> list[Section]:
    found = [Section(0, "")]
    block: tuple[str, list[str]] | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        heading = re.match(r"(#+) +(.+)$", line)
        if line.startswith("```"):
            if block is None:
                block = (line.removeprefix("```"), [])
            else:
                found[-1].blocks.append((block[0], "\n".join(block[1])))
                block = None
        elif block is not None:
            # A comment in a command is for people.
            block[1].append("#" if line.startswith("# ") else line)
        elif heading:
            found.append(Section(len(heading[1]), heading[2]))
        else:
            found[-1].lines.append(line)
    return found


def anchors(page: Path) -> list[str]:
    return [re.sub(r"[^\w\- ]", "", each.title.lower()).replace(" ", "-") for each in sections(page)]


def targets(page: Path, section: Section) -> Counter[tuple[str, str | int]]:
    """Where the links lead, in terms of the English pages; a heading of a translated page counts by its place."""
    found: Counter[tuple[str, str | int]] = Counter()
    for target, anchor in LINK.findall(section.text):
        file = (page.parent / target).resolve() if target else page
        english = ENGLISH_OF.get(file, file)
        translated = english in TWINS and anchor
        found[str(english), anchors(file).index(anchor) if translated else anchor] += 1
    return found


PAIRS = [pytest.param(english, chinese, id=chinese.name) for english, chinese in TWINS.items()]


def test_each_chinese_page_has_an_english_one() -> None:
    assert all(english.exists() for english in TWINS)
    assert {chinese.name for chinese in TWINS.values()} == {
        "README.zh-CN.md",
        "install.md",
        "on-call.md",
        "procedure.md",
    }


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_headings_have_the_same_levels_in_the_same_order(english: Path, chinese: Path) -> None:
    assert [each.level for each in sections(chinese)] == [each.level for each in sections(english)]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_below_each_heading_is_the_same(english: Path, chinese: Path) -> None:
    for ours, theirs in zip(sections(chinese), sections(english), strict=True):
        place = f"{theirs.title} / {ours.title}"
        assert ours.blocks == theirs.blocks, place
        assert ours.tables == theirs.tables, place
        assert ours.lists == theirs.lists, place
        assert ours.names == theirs.names, place
        assert targets(chinese, ours) == targets(english, theirs), place


@pytest.mark.parametrize("page", ENGLISH_OF, ids=lambda page: page.name)
def test_a_chinese_page_links_to_the_chinese_page_where_there_is_one(page: Path) -> None:
    linked = {
        (page.parent / target).resolve() for target, _ in LINK.findall(page.read_text(encoding="utf-8")) if target
    }
    # README offers the other language at its top.
    assert linked & set(TWINS) <= {PROJECT / "README.md"}
