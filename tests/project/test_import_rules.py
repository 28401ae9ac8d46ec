"""Imports go one way. The rules are in pyproject.toml; here is that they hold, and that they would notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
RULES: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
NOT_RULED = {"tests"}
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir='.cache'))"
LINT_EACH = """
import contextlib, io, json, os, pathlib
from importlinter.cli import lint_imports

found = []
for file, line, _ in json.loads(os.environ["WRONG_IMPORTS"]):
    target = pathlib.Path(file)
    before = target.read_text(encoding="utf-8") if target.exists() else None
    # Inside a function: that an import is put off does not make it right.
    bad = f"\\n\\ndef _put_off() -> None:\\n    {line}\\n" if line else "\\n"
    target.write_text((before or "") + bad, encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = lint_imports(cache_dir=".cache")
    found.append((status, output.getvalue()))
    target.unlink() if before is None else target.write_text(before, encoding="utf-8")
print(json.dumps(found))
"""


def python(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def copy_of_the_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for root in RULES["root_packages"]:
        shutil.copytree(PROJECT / root, folder / root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def test_the_rules_hold(copy_of_the_project: Path) -> None:
    done = python(LINT, copy_of_the_project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(RULES['contracts'])} kept, 0 broken." in done.stdout


def test_every_folder_with_python_has_rules() -> None:
    folders = {
        folder.name
        for folder in PROJECT.iterdir()
        if folder.is_dir() and not folder.name.startswith(".") and any(folder.rglob("*.py"))
    }
    assert folders - NOT_RULED == set(RULES["root_packages"])


WRONG_IMPORTS = [
    ("include/registry_prune/units.py", "import include.registry_prune.verdict.decision", "Imports go one way"),
    (
        "include/registry_prune/cluster/role.py",
        "import include.registry_prune.window.opening",
        "Imports go one way",
    ),
    ("include/registry_prune/new_room.py", "", "Imports go one way"),
    (
        "include/registry_prune/window/lease.py",
        "import include.registry_prune.window.opening",
        "No two modules of a room",
    ),
    (
        "include/registry_prune/report/report.py",
        "import dags.registry_prune",
        "DAGs and plugins import the product",
    ),
    (
        "include/registry_prune/page/app.py",
        "import plugins.registry_prune_plugin",
        "DAGs and plugins import the product",
    ),
    ("include/registry_prune/verdict/decision.py", "import airflow.sdk", "Pure rooms know neither"),
    ("include/registry_prune/verdict/new_module.py", "import airflow.sdk", "Pure rooms know neither"),
    ("include/registry_prune/settings/clusters.py", "import kubernetes.client", "Pure rooms know neither"),
    ("include/registry_prune/window/opening.py", "import airflow.sdk", "What is done to a cluster"),
    ("include/registry_prune/cluster/role.py", "import kubernetes", "Only kubernetes_api"),
    ("dags/registry_prune.py", "import kubernetes.client", "Only kubernetes_api"),
    ("sandbox/base/settings.py", "import kubernetes", "Only kubernetes_api"),
    (
        "sandbox/base/settings.py",
        "import include.registry_prune.units",
        "The sandbox, the local Airflow and the product",
    ),
    (
        "include/registry_prune/cluster/cluster.py",
        "import sandbox.base.settings",
        "The sandbox, the local Airflow and the prod",
    ),
    ("local_airflow/__init__.py", "import sandbox.base.settings", "The sandbox, the local Airflow and the product"),
    (
        "local_airflow/__init__.py",
        "import include.registry_prune",
        "The sandbox, the local Airflow and the product",
    ),
    ("dags/registry_prune.py", "import sandbox.base.settings", "do not know the DAGs"),
    ("local_airflow/__init__.py", "import dags.registry_prune", "do not know the DAGs"),
    ("sandbox/server/errors.py", "import sandbox.registry.journal", "The rooms of the sandbox are layers"),
    ("sandbox/new_room.py", "", "The rooms of the sandbox are layers"),
    ("sandbox/assembly/composition.py", "import sandbox.assembly.control", "in a circle"),
    ("sandbox/server/errors.py", "import sandbox.server.verbs.reading", "in a circle"),
]
"""File, line and the contract that it breaks; without a line the file is a module in a room that has no place yet."""


def test_every_wrong_import_would_be_noticed(copy_of_the_project: Path) -> None:
    """One process looks at them one after the other: half of a look is the start of a process."""
    done = python(LINT_EACH, copy_of_the_project, WRONG_IMPORTS=json.dumps(WRONG_IMPORTS))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    unnoticed = [
        (case, status, output)
        for case, (status, output) in zip(WRONG_IMPORTS, said, strict=True)
        if status == 0 or not _names(output, *case)
    ]
    assert not unnoticed


def _names(output: str, file: str, line: str, broken: str) -> bool:
    if not line and Path(file).stem in output:
        return True
    return any(broken in each and each.endswith("BROKEN") for each in output.splitlines())


def test_a_dag_file_is_parsed_without_loading_a_kubernetes_client(tmp_path: Path) -> None:
    program = (
        "import sys, include.registry_prune.tasks.after_window, include.registry_prune.tasks.hard_prune\n"
        "print(sorted({'kubernetes', 'kubernetes_asyncio', 'websocket'} & set(sys.modules)))"
    )
    done = python(program, PROJECT, AIRFLOW_HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_plugin_is_loaded_without_the_page(tmp_path: Path) -> None:
    """Guards every task's start: workers load plugins too, and have no use for FastAPI."""
    program = "import sys, plugins.registry_prune_plugin\nprint('include.registry_prune.page' in sys.modules)"
    done = python(program, PROJECT, AIRFLOW_HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def pure_modules() -> list[str]:
    """Those that say so in their first line."""
    files = sorted((PROJECT / "include").rglob("*.py"))
    pure = [file for file in files if "(pure)" in file.read_text(encoding="utf-8").split("\n", 1)[0]]
    return [".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in pure]


def test_pure_modules_load_in_a_plain_python() -> None:
    forbidden = next(contract for contract in RULES["contracts"] if contract["id"] == "pure")["forbidden_modules"]
    pure = pure_modules()
    assert len(pure) > 30
    program = f"import sys, {', '.join(pure)}\nprint(sorted({set(forbidden)!r} & set(sys.modules)))"
    done = python(program, PROJECT, PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_module_of_a_pure_room_says_that_it_is_pure() -> None:
    rooms = next(contract for contract in RULES["contracts"] if contract["id"] == "pure")["source_modules"]
    modules = {
        ".".join(file.relative_to(PROJECT).with_suffix("").parts)
        for room in rooms
        for file in (PROJECT / room.replace(".", "/")).glob("*.py")
        if file.name != "__init__.py"
    }
    assert modules <= set(pure_modules())


def test_no_room_has_more_than_twelve_modules() -> None:
    roots = ("include", "sandbox", "local_airflow", "faults", "benchmarks")
    rooms = {folder for root in roots for folder in (PROJECT / root).rglob("*") if folder.is_dir()}
    crowded = {room: len(found) for room in rooms if len(found := set(room.glob("*.py"))) > 13}  # 12, and __init__.py
    assert crowded == {}
