"""The commands of a page of docs/, as they stand there, run against a sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.registry_prune.conftest import KUBECTL, PROJECT


def blocks(page: str, heading: str, language: str = "sh") -> list[str]:
    """The blocks of a language below a heading of any level, before the next one.

    :param page: its path below the project's root.
    """
    text = (PROJECT / page).read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#{1,6} (?=\S)", _without_comments(section), maxsplit=1, flags=re.MULTILINE)[0]
    return [block.replace("\0", "#") for block in re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)]


def _without_comments(text: str) -> str:
    """Comments of commands look like headings."""
    return re.sub(r"^```.*?^```", lambda block: re.sub(r"^#", "\0", block[0], flags=re.M), text, flags=re.M | re.S)


def run_as_typed(script: str, kubeconfig: Path, folder: Path = PROJECT) -> str:
    """Run commands as an administrator types them, in a folder; what they printed. ``oc`` is kubectl.

    A failure fails the test with what they printed.
    """
    for typed in (".venv/bin/python", "PYTHONPATH=. python"):
        script = script.replace(typed, sys.executable)
    done = subprocess.run(
        ["/bin/bash", "-e", "-c", f'oc() {{ "{KUBECTL}" "$@"; }}\n{script}'],
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(PROJECT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
