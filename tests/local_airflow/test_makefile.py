"""What ``make`` hands to the tool, and what it deletes; on a copy, so that nothing of the project is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "requirements-dev.lock").touch()
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> str:
    # A make around the tests hands its own command line on to this one.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**inherited, **environment},
        check=True,
        timeout=600,
        stdout=subprocess.PIPE,
    )
    return done.stdout.decode()


def test_what_is_typed_on_make_s_command_line_reaches_the_tool(folder: Path) -> None:
    asked = make(folder, "--dry-run", "run", "KUBECONFIG=it's mine", "MODE=prune", "PASS=orphan_share,earlier_runs")
    assert "run --kubeconfig 'it'\\''s mine'" in asked
    assert "--mode 'prune' --pass 'orphan_share,earlier_runs'" in " ".join(asked.split())


def test_what_happens_to_be_in_the_environment_does_not(folder: Path) -> None:
    asked = make(folder, "--dry-run", "run", KUBECONFIG="config", CONTEXT="prod", MODE="prune", PASS="orphan_share")
    assert asked.splitlines()[-1].split()[-1] == "run"


def test_nothing_that_make_starts_is_kept_from_keeping_compiled_code(folder: Path) -> None:
    include = "-f", "Makefile", "--eval=said: ; @echo [$${PYTHONDONTWRITEBYTECODE-}]", "said"
    assert make(folder, *include, PYTHONDONTWRITEBYTECODE="1").strip() == "[]"


def test_clean_leaves_the_record_of_real_clusters_and_says_so(folder: Path) -> None:
    record = folder / ".state" / "clusters" / "api.example.com_6443" / "airflow.db"
    for file in (record, folder / ".state" / "run" / "airflow.db", folder / ".venv" / "python"):
        file.parent.mkdir(parents=True)
        file.touch()
    assert "Kept: .state/clusters" in make(folder, "clean")
    assert record.exists()
    assert [each.name for each in (folder / ".state").iterdir()] == ["clusters"]
    assert not (folder / ".venv").exists()


def refused(folder: Path, *arguments: str, **environment: str) -> str:
    """What ``make`` says before it gives up."""
    with pytest.raises(subprocess.CalledProcessError) as failure:
        make(folder, *arguments, **environment)
    return str(failure.value.stdout.decode())


def test_without_a_python_that_fits_it_says_which_one_is_needed(folder: Path) -> None:
    assert "Python 3.11, 3.12 or 3.13 is needed" in refused(folder, "setup", "PYTHON=false")
    assert not (folder / ".venv").exists()


def test_where_no_package_can_be_had_it_says_what_to_do_and_the_next_time_begins_anew(folder: Path) -> None:
    (folder / "requirements-dev.lock").write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    away = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "empty"), "PIP_CONFIG_FILE": os.devnull}
    said = refused(folder, "setup", **away)
    assert "The packages of requirements-dev.lock could not be installed" in said
    assert "PIP_INDEX_URL" in said
    assert not (folder / ".venv" / ".ready").exists()


def test_clean_of_nothing_is_no_error(folder: Path) -> None:
    assert "Kept" not in make(folder, "clean")


def test_a_linked_virtual_environment_is_not_emptied(folder: Path) -> None:
    """Guards an environment that several checkouts share: setting it up anew begins by emptying it."""
    shared = folder / "shared"
    shared.mkdir()
    (shared / "in-use").touch()
    (folder / ".venv").symlink_to(shared)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        make(folder, "setup", f"PYTHON={sys.executable}")
    assert b".venv is a link" in refused.value.stdout
    assert (shared / "in-use").exists()
