"""Before a commit the same is checked as by `make lint`, and nothing is fetched for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
REPOSITORIES: list[dict[str, Any]] = yaml.safe_load(
    (PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"),
)["repos"]
HOOKS: list[dict[str, Any]] = [hook for repository in REPOSITORIES for hook in repository["hooks"]]


def test_the_hooks_fetch_nothing() -> None:
    """A repository by its address is cloned at the first commit, and a language but `system` installs packages."""
    assert {repository["repo"] for repository in REPOSITORIES} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in HOOKS)


def test_the_hooks_run_what_make_lint_runs_at_every_commit() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    commands = [line.removeprefix("\t@").replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    assert [hook["entry"] for hook in HOOKS] == commands
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in HOOKS)
