"""requirements.txt names what the project imports, and the lock files have it in those ranges."""

from __future__ import annotations

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
OF_AIRFLOW_ITSELF = {"fastapi", "jinja2", "sqlalchemy"}
"""What the project passes on to Airflow, or gets from it, in the version that Airflow has."""
INSTALLED = packages_distributions()
AIRFLOW_CORE = {"apache-airflow-core", "apache-airflow-task-sdk"}


def requirements() -> list[Requirement]:
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def imported_modules() -> set[str]:
    """Every module that a file of the product imports, wherever in the file."""
    modules: set[str] = set()
    for folder in ("include", "dags", "plugins"):
        for file in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules.update(name.name for name in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module)
    return modules


def provider(module: str) -> str:
    """The distribution of one of Airflow's providers; a provider of two words has a folder for each."""
    words = module.split(".")[2:4]
    return "apache-airflow-providers-" + "-".join(words if words[0] in ("cncf", "common") else words[:1])


def distributions(module: str) -> set[str]:
    """The distributions that a module may come from; empty if it is the project's own or Python's."""
    if module.startswith("airflow.providers."):
        return {provider(module)}
    top = module.partition(".")[0]
    if top == "airflow":
        return {"apache-airflow"}
    return {str(canonicalize_name(name)) for name in INSTALLED.get(top, ())} - AIRFLOW_CORE


def test_whatever_is_imported_is_required() -> None:
    required = {canonicalize_name(each.name) for each in requirements()} | OF_AIRFLOW_ITSELF
    missing = {
        module: found for module in imported_modules() if (found := distributions(module)) and not found & required
    }
    assert missing == {}


LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-distributed.lock"]
"""Of the environments in which Airflow runs."""


def pinned(lock: str) -> dict[str, str]:
    """Name and version of each line of a lock."""
    lines = (PROJECT / lock).read_text(encoding="utf-8").splitlines()
    return dict(line.split()[0].split("==") for line in lines if "==" in line and line[:1].isalnum())


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_the_ranges(lock: str) -> None:
    versions = pinned(lock)
    wrong = {each.name for each in requirements() if versions[canonicalize_name(each.name)] not in each.specifier}
    assert wrong == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_makes_each_process_of_airflow_slow_to_start(lock: str) -> None:
    """Where rfc3987-syntax is installed, jsonschema imports it: a second of CPU for a grammar, before each task."""
    assert "rfc3987-syntax" not in pinned(lock)
