"""The small image installs what its two programs import, and nothing else."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy" / "small-image"
PROGRAMS = ("include.registry_prune.exact_delete.__main__", "include.registry_prune.in_cluster_guard")


def file_of(module: str) -> Path | None:
    """The file of one of the project's modules; None if it is no module of it."""
    path = PROJECT / module.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if module.startswith("include.") and file.exists()), None)


def imports(file: Path) -> set[str]:
    """Whatever a file imports, wherever in it; what is imported from a package may be a module of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(name for each in node.names if file_of(name := f"{node.module}.{each.name}"))
    return found


def needed() -> set[str]:
    """The distributions that the programs import, directly or through modules of the project."""
    seen: set[str] = set()
    left, outside = [*PROGRAMS], set()
    while left:
        module = left.pop()
        file = file_of(module)
        if file is None:
            outside.add(module.partition(".")[0])
        elif module not in seen:
            seen.add(module)
            left += imports(file)
    installed = packages_distributions()
    return {canonicalize_name(name) for module in outside for name in installed.get(module, ())}


def test_the_requirements_are_what_is_imported() -> None:
    lines = (FOLDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    assert required == needed()


def test_the_image_runs_under_any_user_and_has_what_its_dockerfile_copies() -> None:
    assert "USER 1001" in (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    let_through = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for copied in ("requirements.lock", "deploy/small-image", "include"):
        assert f"!{copied}" in let_through
        assert (PROJECT / copied).exists()


def test_the_versions_that_its_dockerfile_takes_from_the_lock_have_each_requirement(tmp_path: Path) -> None:
    """Without a line there, pip would take the newest one."""
    take = re.search(
        r"^RUN (sed .* requirements\.lock) > versions\.txt", (FOLDER / "Dockerfile").read_text(), re.MULTILINE
    )
    assert take is not None
    made = subprocess.run(["/bin/sh", "-c", take[1]], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    pinned = {canonicalize_name(Requirement(line).name) for line in made.splitlines() if "==" in line}
    required = (FOLDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {canonicalize_name(line) for line in required if line and not line.startswith("#")} <= pinned
    assert "--hash" not in made
